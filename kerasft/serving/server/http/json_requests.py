"""The bodies of REST requests: `instances` or `inputs` for predict, `examples` for the others.

Untrusted: values are counted before they are parsed, rows and shapes before arrays are built.
"""

from __future__ import annotations

import base64
import json
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import input_pb2

from kerasft.serving.server.calls import Arrays, Specs, check_names
from kerasft.serving.server.settings import MOST_VALUES
from kerasft.serving.server.status import invalid
from kerasft.serving.server.tensors import check_rows, check_shape

_STRUCTURE = (b",", b"[", b"{")  # a body has not many more values than these
_WHITE_SPACE = b" \t\n\v\f\r"


def parse_object(body: bytes) -> dict[str, Any]:
    r"""Reads a request's body, which must be a JSON object.

    A byte order mark is passed over. Bytes that are not UTF-8 become surrogates, so that texts keep
    them; half of a surrogate pair (`"\ud83d"`) is refused.

    Raises:
        ServingError: If it is not a JSON object, or has more than `MOST_VALUES` values.
    """
    if sum(map(body.count, _STRUCTURE)) > MOST_VALUES:
        raise invalid(f"The body has more than {MOST_VALUES} values, by its commas and brackets.")
    try:
        text, errors = body.decode("utf-8-sig"), "strict"
    except UnicodeDecodeError:
        errors = "surrogateescape"
        text = body.decode("utf-8-sig", errors)
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode("utf-8", errors)
    except RecursionError as error:
        raise invalid("The body is nested too deeply.") from error
    except UnicodeEncodeError as error:
        raise invalid("The body has half of a surrogate pair.") from error
    except ValueError as error:
        raise invalid(f"The body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise invalid("The body must be a JSON object.")
    return value


def signature_name_of(body: Mapping[str, Any]) -> str:
    """Returns the signature name in a request, or an empty string."""
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("signature_name must be a string.")
    return name


def read_tensors(body: Mapping[str, Any], specs: Specs, most_rows: int) -> Arrays:
    """Returns the tensors of `instances` (rows) or `inputs` (columns); raises `ServingError`."""
    if len(body.keys() & {"instances", "inputs"}) != 1:
        raise invalid("The body needs either 'instances' or 'inputs'.")
    columns = body["inputs"] if "inputs" in body else _columns_of(body["instances"], most_rows)
    if not _is_object(columns):
        if len(specs) != 1:
            raise invalid(f"Name the inputs: {', '.join(sorted(specs))}.")
        columns = dict.fromkeys(specs, columns)
    check_names(set(columns), specs)
    return {alias: _build_array(columns[alias], spec, most_rows) for alias, spec in specs.items()}


def _columns_of(rows: object, most_rows: int) -> Any:
    """Returns rows as columns: of each input if rows name them, else of the only one."""
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances' must be a list of at least one row.")
    check_rows(len(rows), most_rows)
    if not any(map(_is_object, rows)):
        return rows
    for number, row in enumerate(rows):
        if not _is_object(row) or row.keys() != rows[0].keys():
            raise invalid(f"Row {number} has not the same inputs as row 0.")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _build_array(value: object, spec: tf.TensorSpec, most_rows: int) -> np.ndarray:
    """Returns a scalar or nested lists as an array; strings as objects of bytes."""
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    check_shape(shape, spec, most_rows)
    flat = [value]
    for size in shape:
        if any(not isinstance(part, list) or len(part) != size for part in flat):
            raise invalid(f"Input {spec.name} has lists of unequal length, expected {shape}.")
        flat = [part for whole in flat for part in whole]
    if spec.dtype == tf.string:
        return np.array([_bytes_of(one) for one in flat], dtype=object).reshape(shape)
    try:
        return _numbers(flat, spec.dtype).reshape(shape)
    except (TypeError, OverflowError, FloatingPointError) as error:
        raise invalid(f"Input {spec.name} takes {spec.dtype.name}, not {error}.") from error


def _numbers(flat: list, dtype: tf.DType) -> np.ndarray:
    """Returns numbers or Booleans; raises an error if one is of another type, or too large."""
    kinds = {bool} if dtype.is_bool else {int} if dtype.is_integer else {int, float}
    for value in flat:
        if type(value) not in kinds:
            raise TypeError(reprlib.repr(value))
    if not dtype.is_floating:
        return np.array(flat, dtype.as_numpy_dtype)
    with np.errstate(over="raise"):
        return np.array(flat, np.float64).astype(dtype.as_numpy_dtype)


def _bytes_of(value: object) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, dict) and not _is_object(value):
        return _decode_base64(value["b64"])
    raise invalid(f"Expected a text, not {reprlib.repr(value)}.")


def _is_object(value: object) -> bool:
    """Whether a value is an object, and not the text `{"b64": "..."}`."""
    if not isinstance(value, dict):
        return False
    return not (value.keys() == {"b64"} and isinstance(value["b64"], str))


def _decode_base64(text: str) -> bytes:
    """Returns the bytes; passes over white space and missing padding, as Abseil does."""
    try:
        digits = text.encode("ascii").translate(None, _WHITE_SPACE).rstrip(b"=")
        return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
    except ValueError as error:
        raise invalid("A value of b64 is not base64.") from error


def read_examples(body: Mapping[str, Any], most_rows: int) -> input_pb2.Input:
    """Returns the examples of a classify or regress request; raises `ServingError`."""
    examples = body.get("examples")
    if not isinstance(examples, list) or not examples:
        raise invalid("'examples' must be a list of at least one example.")
    if "context" in body:
        raise invalid("A context is not supported: give each example all of its features.")
    check_rows(len(examples), most_rows)
    found = input_pb2.Input()
    found.example_list.examples.extend(map(_read_example, examples))
    return found


def _read_example(value: object) -> tf.train.Example:
    if not isinstance(value, dict):
        raise invalid(f"An example must be an object, not {reprlib.repr(value)}.")
    example = tf.train.Example()
    for name, content in value.items():
        key = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        _fill(example.features.feature[key], content)
    return example


def _fill(feature: tf.train.Feature, content: object) -> None:
    """Fills a feature with one value or a list of values of one type."""
    values = content if isinstance(content, list) else [content]
    kinds = set(map(type, values))
    try:
        if kinds & {str, dict}:
            feature.bytes_list.value.extend(map(_bytes_of, values))
        elif kinds <= {int, bool}:
            feature.int64_list.value.extend(map(int, values))
        elif kinds == {float}:
            feature.float_list.value.extend(values)
        else:
            raise TypeError("other types")
    except (TypeError, ValueError) as error:  # also an integer that is too large
        raise invalid("A feature takes texts, integers or floats, of one type.") from error
