"""Request errors as TensorFlow Serving reports them: a code and a message."""

from __future__ import annotations

import re

from kerasft.errors import first_line

# Added by TensorFlow's Python side around a kernel's message.
_BEFORE = re.compile(r"\AGraph execution error:.*?<stack traces unavailable>\n", re.DOTALL)
_BEHIND = re.compile(r"\s*\[Op:\w+\]\s*\Z")

# Numbered as in TensorFlow and gRPC.
CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

# The server's table (http_server.cc); all others are 500.
HTTP_STATUS = {
    "OK": 200,
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
        code: One of `CODES`.
        message: For the caller.
        http_status: Only for a status that the codes lack, such as 413.
    """

    def __init__(self, code: str, message: str, *, http_status: int | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status or HTTP_STATUS.get(code, 500)


def invalid(message: str) -> ServingError:
    """Returns the error for an invalid request."""
    return ServingError("INVALID_ARGUMENT", message)


def as_serving_error(error: Exception) -> ServingError:
    """Converts an exception of TensorFlow, or any other, to its code."""
    if isinstance(error, ServingError):
        return error
    number = getattr(error, "error_code", None)  # of tf.errors.OpError
    if isinstance(number, int) and 0 < number < len(CODES):
        return ServingError(CODES[number], _without_python(str(getattr(error, "message", error))))
    return ServingError("INTERNAL", f"{type(error).__name__}: {first_line(error)}")


def _without_python(message: str) -> str:
    return _BEHIND.sub("", _BEFORE.sub("", message))
