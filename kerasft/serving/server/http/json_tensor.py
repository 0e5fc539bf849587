"""Tensors from JSON: nested lists must be rectangular, each value of the tensor's type."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from kerasft.serving.server.http.json_text import (
    decode_base64,
    show,
    text_bytes,
    type_error,
)
from kerasft.serving.server.status import ServingError, invalid
from kerasft.serving.server.tensors import dtype_name

# Range of a JSON number for each type: the server checks the small ones as int32.
_INT_LIMITS = {
    "int8": (-(2**31), 2**31 - 1),
    "int16": (-(2**31), 2**31 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint8": (-(2**31), 2**31 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
}
_MOST_DIMENSIONS = 32
_EXACT = {"float": 2**24 - 1, "double": 2**53 - 1}  # the largest exact integer
_LARGEST = {"float": float(np.finfo(np.float32).max), "double": float(np.finfo(np.float64).max)}


def build_array(value: object, dtype: int) -> np.ndarray:
    """Returns a scalar or nested lists as an array of a `DataType`; strings as objects."""
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        if not inner:
            break
        inner = inner[0]
    if len(shape) > _MOST_DIMENSIONS:
        raise invalid(f"Shape must have at most {_MOST_DIMENSIONS} dimensions, not {len(shape)}")
    name = dtype_name(dtype)
    flat: list = []
    _flatten(value, 0, shape, name, flat)
    if name == "string":
        array = np.empty(len(flat), dtype=object)
        array[:] = flat
    else:
        numbers = tf.as_dtype(dtype).as_numpy_dtype
        wide = np.int64 if name in ("int8", "int16", "uint8") else numbers
        array = np.array(flat, wide).astype(numbers)
    return array.reshape(shape)


def _flatten(value: object, level: int, shape: list[int], dtype: str, flat: list) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {show(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        flat.append(_convert(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} "
            f"expected size: {shape[level]}"
        )
    for inner in value:
        _flatten(inner, level + 1, shape, dtype, flat)


def _convert(value: object, dtype: str):
    """Returns one value as the tensor's type."""
    if dtype == "string":
        if isinstance(value, dict):
            return decode_base64(value)
        if not isinstance(value, str):
            raise type_error(value, dtype)
        return text_bytes(value)
    if dtype == "bool":
        if not isinstance(value, bool):
            raise type_error(value, dtype)
        return value
    if dtype in _INT_LIMITS:
        least, most = _INT_LIMITS[dtype]
        if type(value) is not int or not least <= value <= most:
            raise type_error(value, dtype)
        return value
    if dtype in _EXACT:
        if type(value) not in (int, float):
            raise type_error(value, dtype)
        check_lossless(value, dtype)
        return value
    raise ServingError("UNIMPLEMENTED", f"Conversion of JSON Value: {show(value)} to type: {dtype}")


def check_lossless(value: float, dtype: str) -> None:
    """Refuses a number that a `float` or `double` cannot hold."""
    if isinstance(value, int):
        fits = abs(value) <= _EXACT[dtype]
    else:
        fits = not math.isfinite(value) or abs(value) <= _LARGEST[dtype]
    if not fits:
        raise invalid(
            f"Cannot convert JSON value: {show(value)} to {dtype} without loss of precision."
        )
