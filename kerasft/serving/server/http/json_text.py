"""JSON as the server reads and prints it (rapidjson, with NaN and Infinity allowed).

Text keeps its bytes: invalid UTF-8 is read as surrogates, and written as the same bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from kerasft.serving.server.status import ServingError, invalid

_MOST_SHOWN = 500  # characters of a value in a message; the server shows all of it
# Messages of Python's reader, and rapidjson's for them.
_SAID = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Expecting ',' delimiter": "Missing a comma or } after an object member.",
    "Extra data": "The document root must not be followed by other values.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
    "Invalid control character at": "Invalid encoding in string.",
}


def parse_object(body: bytes) -> dict[str, Any]:
    """Reads a request's body, which must be a JSON object."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        value = json.loads(body.decode("utf-8", "surrogateescape"))
    except json.JSONDecodeError as error:
        said = next((ours for theirs, ours in _SAID.items() if error.msg.startswith(theirs)), None)
        raise invalid(f"JSON Parse error: {said or error.msg} at offset: {error.pos}") from error
    except RecursionError as error:
        raise invalid("JSON Parse error: The document is nested too deeply.") from error
    except ValueError as error:  # a number with thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from error
    if not isinstance(value, dict):
        raise format_error(value, "Is not object")
    return value


def format_error(value: object, message: str) -> ServingError:
    """Returns the error for a value of the wrong form."""
    return invalid(f"JSON Value: {show(value)} {message}")


def type_error(value: object, dtype: str) -> ServingError:
    """Returns the error for a value of another type than the tensor's."""
    return invalid(
        f"JSON Value: {show(value)} Type: {type_name(value)} is not of expected type: {dtype}"
    )


def show(value: object) -> str:
    """Returns a value as JSON for a message, shortened."""
    try:
        text = json.dumps(value, indent=4, ensure_ascii=False)
    except RecursionError:
        return "..."
    text = text.encode("utf-8", "replace").decode()  # lone surrogates cannot be sent
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def type_name(value: object) -> str:
    """Returns rapidjson's name for a value's type."""
    if value is None or isinstance(value, bool):
        return {None: "Null", False: "False", True: "True"}[value]
    names = {dict: "Object", list: "Array", str: "String"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "Number")


def text_bytes(text: str) -> bytes:
    r"""Returns the bytes of a string; raises `ServingError` for a lone surrogate (`"\ud83d"`)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise invalid(
            "JSON Parse error: The surrogate pair in string is invalid. at offset: 0"
        ) from error


def is_base64(value: object) -> bool:
    """Whether a value is `{"b64": "..."}`."""
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def decode_base64(value: object) -> bytes:
    """Returns the bytes of `{"b64": "..."}`."""
    if not is_base64(value):
        raise format_error(value, "not formatted correctly for base64 data")
    text = value["b64"].rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error
