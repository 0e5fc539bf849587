"""Converts between request protos and arrays."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

from kerasft.serving.server.status import invalid

# The field for a tensor's values, as in the server (`AsProtoField`); callers rely on it.
_FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
    "string": "string_val",
}
_CALLED = {"float32": "float", "float64": "double"}


def dtype_name(dtype: int) -> str:
    """Returns the server's name of a `DataType`: `string`, `float`, `int64`, ..."""
    try:
        name = tf.as_dtype(dtype).name
    except TypeError:
        return types_pb2.DataType.Name(dtype)
    return _CALLED.get(name, name)


def array_from_proto(proto: tensor_pb2.TensorProto, alias: str, *, most_bytes: int) -> np.ndarray:
    """Returns a request's tensor as an array, strings as objects.

    The proto is untrusted. A shape that needs more than `most_bytes` is refused, since one value
    may be repeated. `alias` is its name for the message.
    """
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    fault = invalid(f"tensor parsing error: {alias}")
    if proto.tensor_shape.unknown_rank or min(sizes, default=0) < 0 or len(sizes) > 32:
        raise fault
    try:
        item_bytes = max(tf.as_dtype(proto.dtype).size or 1, 1)
    except (TypeError, ValueError) as error:
        raise fault from error
    if math.prod(sizes) * item_bytes > most_bytes:
        raise fault
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise fault from error


def proto_from_array(array: np.ndarray) -> tensor_pb2.TensorProto:
    """Returns an output as the server writes it, values in the field of their type."""
    dtype = tf.as_dtype(array.dtype) if array.dtype != object else tf.string
    field = _FIELDS.get(dtype.name)
    if field is None:
        return tf.make_tensor_proto(array)
    shape = tf.TensorShape(array.shape).as_proto()
    proto = tensor_pb2.TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=shape)
    getattr(proto, field).extend(array.ravel().tolist())
    return proto
