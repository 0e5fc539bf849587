"""Request errors as TensorFlow Serving reports them: a code and a message."""

from __future__ import annotations

import re

import grpc

from kerasft.errors import first_line

# Added by TensorFlow's Python side around a kernel's message.
_BEFORE = re.compile(r"\AGraph execution error:.*?<stack traces unavailable>\n", re.DOTALL)
_BEHIND = re.compile(r"\s*\[Op:\w+\]\s*\Z")
_MOST_CHARACTERS = 1024  # of a message

NUMBERS = {code.name: code.value[0] for code in grpc.StatusCode}
_NAMES = {number: name for name, number in NUMBERS.items()}
# The table of TensorFlow Serving (http_server.cc); all other codes are 500.
_HTTP_STATUS = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}


class ServingError(Exception):
    """A request failed, or a version cannot be loaded.

    Args:
        code: The name of a `grpc.StatusCode`.
        message: For the caller; cut after 1,024 characters.
        http_status: Only for a status that the codes lack, such as 413.
    """

    def __init__(self, code: str, message: str, *, http_status: int | None = None):
        self.code = code
        self.message = message[:_MOST_CHARACTERS].encode("utf-8", "replace").decode()
        self.http_status = http_status or _HTTP_STATUS.get(code, 500)
        super().__init__(self.message)


def invalid(message: str) -> ServingError:
    """Returns the error for an invalid request."""
    return ServingError("INVALID_ARGUMENT", message)


def as_serving_error(error: Exception) -> ServingError:
    """Converts an exception of TensorFlow, or any other, to its code."""
    if isinstance(error, ServingError):
        return error
    name = _NAMES.get(getattr(error, "error_code", None))  # of tf.errors.OpError
    if name is None:
        return ServingError("INTERNAL", f"{type(error).__name__}: {first_line(error)}")
    return ServingError(name, _BEHIND.sub("", _BEFORE.sub("", error.message)))
