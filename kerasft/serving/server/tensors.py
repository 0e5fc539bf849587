"""Converts between request protos and arrays, and checks shapes before anything is built."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from kerasft.serving.server.settings import MOST_VALUES
from kerasft.serving.server.status import invalid

# The field for a tensor's values, as in the server (`AsProtoField`); callers rely on it. For other
# types it is `tensor_content`, which `tf.make_ndarray` reads, too.
_FIELDS = {
    "float32": "float_val",
    "int32": "int_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "string": "string_val",
}


def check_shape(shape: Sequence[int], spec: tf.TensorSpec, most_rows: int) -> None:
    """Checks the shape of an input by what its signature declares; raises `ServingError`."""
    if not spec.shape.is_compatible_with(shape):
        expected = "any" if spec.shape.rank is None else spec.shape.as_list()
        raise invalid(f"Input {spec.name} has the shape {list(shape)}, expected {expected}.")
    if is_batched(spec):
        check_rows(shape[0], most_rows)
    if math.prod(shape) > MOST_VALUES:
        raise invalid(f"Input {spec.name} has more than {MOST_VALUES} values.")


def is_batched(spec: tf.TensorSpec) -> bool:
    """Whether the first axis of an input is the batch."""
    return bool(spec.shape.rank) and spec.shape[0] is None


def check_rows(num_rows: int, most_rows: int) -> None:
    """Refuses a request with more examples than a batch may hold, in TensorFlow Serving's words."""
    if num_rows > most_rows:
        raise invalid(f"Task size {num_rows} is larger than maximum input batch size {most_rows}")


def array_from_proto(
    proto: tensor_pb2.TensorProto, spec: tf.TensorSpec, most_rows: int
) -> np.ndarray:
    """Returns a request's tensor as an array, strings as objects; raises `ServingError`.

    The proto is untrusted: its shape may promise more than its content holds.
    """
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"Input {spec.name} is not a tensor.")
    if proto.dtype != spec.dtype.as_datatype_enum:
        raise invalid(f"Input {spec.name} must be of type {spec.dtype.name}.")
    check_shape(shape, spec, most_rows)
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise invalid(f"Input {spec.name} is not a tensor.") from error


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
