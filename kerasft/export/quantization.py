"""Weight quantization: int8 or float16 storage, or bfloat16 storage and compute.

A weight is stored as int8 with a scale per output channel (symmetric, by the largest absolute
value, as Keras's `quantize("int8")`), or as float16. The SavedModel's initializer, which every
server runs on loading, expands it to float32 once, so requests cost the same: Keras's int8 layers
compute in int8, for which TensorFlow has no fast CPU kernels. bfloat16 weights are not expanded:
the encoder computes in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.layout import BFLOAT16, FLOAT16, INT8
from kerasft.export.private import read_in_scope

METHODS = (INT8, FLOAT16, BFLOAT16)
_KERNEL, _BIAS, _EMBEDDINGS = "kernel", "bias", "embeddings"


@dataclasses.dataclass(frozen=True, eq=False)
class CompressedWeight:
    """A weight of a model and its stored form."""

    variable: keras.Variable  # of the model; holds the expanded weight
    stored: np.ndarray  # int8, float16 or bfloat16, in the variable's shape
    scale: np.ndarray | None = None  # float32, broadcast over `stored`; `None`: no scale

    @property
    def parts(self) -> list[np.ndarray]:
        """All stored arrays."""
        return [self.stored] if self.scale is None else [self.stored, self.scale]

    def expand(self) -> np.ndarray:
        """Returns the weight in float32."""
        values = self.stored.astype(np.float32)
        return values if self.scale is None else values * self.scale

    @property
    def num_bytes(self) -> int:
        """Stored size."""
        return sum(part.nbytes for part in self.parts)


def dtype_policy_of(method: str | None) -> str:
    """Returns the Keras dtype policy that a model needs for a method."""
    return f"mixed_{BFLOAT16}" if method == BFLOAT16 else "float32"


def compress_weights(model: keras.Model, method: str) -> list[CompressedWeight]:
    """Rounds a model's matrices in place to `method`, so it predicts as exported; returns them.

    Kernels and embedding tables are rounded; biases and normalization gains, a hundredth of the
    weights, are not. The model must have the policy of `dtype_policy_of`.

    Raises:
        UserError: If the method is unknown, or float16 cannot hold a weight.
    """
    if method not in METHODS:
        raise UserError(
            "There is no such quantization.", received=method, expected=", ".join(METHODS)
        )
    ranks = {variable.path: len(variable.shape) for variable in model.weights}
    compressed = []
    for variable in model.weights:
        axes = _reduced_axes(variable, ranks)
        if axes is None:
            continue
        values = variable.numpy()
        if method == INT8:
            rounded, inverse = keras.quantizers.abs_max_quantize(values, axis=axes, to_numpy=True)
            scale = np.reciprocal(np.asarray(inverse, np.float32))
            weight = CompressedWeight(variable, np.asarray(rounded), scale)
        else:
            if method == FLOAT16:
                _check_fits(values, variable.path)
            weight = CompressedWeight(variable, values.astype(tf.as_dtype(method).as_numpy_dtype))
        variable.assign(weight.expand())
        compressed.append(weight)
    return compressed


def _check_fits(values: np.ndarray, path: str) -> None:
    largest, most = float(np.abs(values).max()), float(np.finfo(np.float16).max)
    if not largest <= most:
        raise UserError(
            f"The weight {path} is too large for float16.",
            received=largest,
            expected=f"at most {most:.0f}",
            fix="export it without --quantize, or with --quantize int8 or bfloat16.",
        )


def _reduced_axes(variable: keras.Variable, ranks: dict[str, int]) -> tuple[int, ...] | None:
    """Returns the axes that share a scale, `None` for a weight that is not quantized."""
    above, _, name = variable.path.rpartition("/")
    rank = len(variable.shape)
    if name.endswith(_EMBEDDINGS) and rank == 2:
        return (1,)  # one scale per row
    if name == _KERNEL and rank >= 2:
        return tuple(range(rank - ranks.get(f"{above}/{_BIAS}", 1)))
    return None


class ExpandedWeight(tf.saved_model.experimental.TrackableResource):
    """A float32 weight that is expanded from int8 or float16 when the SavedModel is loaded.

    Attributes:
        variables: The stored form, as variables; the saved module must own them.
    """

    def __init__(self, weight: CompressedWeight):
        super().__init__()
        self.variables = [tf.Variable(part, trainable=False) for part in weight.parts]
        self._shape = weight.stored.shape
        # Models in one process share names: equal names must mean equal weights.
        digest = hashlib.sha256(b"".join(part.tobytes() for part in weight.parts)).hexdigest()
        self._shared_name = f"{weight.variable.path}/{digest[:16]}"
        self._initialize()

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(
            dtype=tf.float32, shape=self._shape, shared_name=self._shared_name
        )

    def _initialize(self):
        stored, *scale = self.variables
        value = tf.cast(stored, tf.float32)
        if scale:
            value *= scale[0]
        tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=value)

    def read(self) -> tf.Tensor:
        """Returns the weight without copying it."""
        value = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=tf.float32)
        return tf.ensure_shape(value, self._shape)


class Bfloat16Weight(tf.Module):
    """A weight that is stored and read in bfloat16, as one variable in `variables`."""

    def __init__(self, weight: CompressedWeight):
        super().__init__()
        self._stored = tf.Variable(weight.stored, trainable=False)

    def read(self) -> tf.Tensor:
        """Returns the weight without copying it."""
        return self._stored.read_value()


def serve_weight(weight: CompressedWeight) -> ExpandedWeight | Bfloat16Weight:
    """Returns the object that a SavedModel owns for a compressed weight."""
    return Bfloat16Weight(weight) if weight.stored.dtype == tf.bfloat16 else ExpandedWeight(weight)


def read_compressed(
    compressed: Sequence[CompressedWeight], served: Sequence[ExpandedWeight | Bfloat16Weight]
) -> keras.StatelessScope:
    """Returns the scope in which a model reads its served weights instead of its own.

    `served` are from `serve_weight`, in the order of `compressed`.
    """
    scope = keras.StatelessScope()
    for weight, own in zip(compressed, served, strict=True):
        read_in_scope(scope, weight.variable, own.read())
    return scope
