"""Weights in fewer bits: on disk and on the wire, and as bfloat16 in what a request computes.

A weight is stored as int8 with a scale for each output channel (symmetric, by the largest absolute
value, as Keras's `quantize("int8")` stores it), or as float16. The SavedModel's initializer, which
every server runs when it loads a model, expands it to float32 once. So a request costs what it
costs without: Keras's own int8 layers compute in int8, for which TensorFlow has no fast kernels on
a CPU. As bfloat16 a weight stays what it is: the encoder computes in it.
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
    """A weight of a model, and what is stored of it.

    Attributes:
        variable: The model's variable, which holds the expanded weight.
        stored: int8, float16 or bfloat16, in the variable's shape.
        scale: float32, broadcast over `stored`; `None`: there is none.
    """

    variable: keras.Variable
    stored: np.ndarray
    scale: np.ndarray | None = None

    @property
    def parts(self) -> list[np.ndarray]:
        """All that is stored."""
        return [self.stored] if self.scale is None else [self.stored, self.scale]

    def expand(self) -> np.ndarray:
        """Returns the weight in float32."""
        values = self.stored.astype(np.float32)
        return values if self.scale is None else values * self.scale

    @property
    def num_bytes(self) -> int:
        """How much is stored."""
        return sum(part.nbytes for part in self.parts)


def dtype_policy_of(method: str | None) -> str:
    """Returns the Keras dtype policy that a model must have to be stored by a method."""
    return f"mixed_{BFLOAT16}" if method == BFLOAT16 else "float32"


def compress_weights(model: keras.Model, method: str) -> list[CompressedWeight]:
    """Rounds the matrices of a model to what the method can store; returns what is to be stored.

    Kernels and embedding tables are rounded; biases and the gains of normalizations, a hundredth
    of the weights, stay as they are. From here on the model answers as the exported one will.

    Args:
        model: Its variables are changed. Of the policy of `dtype_policy_of`.
        method: `int8`, `float16` or `bfloat16`.

    Raises:
        UserError: Another method, or a weight that float16 cannot hold.
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
    """Returns the axes that share a scale, `None` for a weight that stays as it is."""
    above, _, name = variable.path.rpartition("/")
    rank = len(variable.shape)
    if name.endswith(_EMBEDDINGS) and rank == 2:
        return (1,)  # a scale for each row
    if name == _KERNEL and rank >= 2:
        return tuple(range(rank - ranks.get(f"{above}/{_BIAS}", 1)))
    return None


class ExpandedWeight(tf.saved_model.experimental.TrackableResource):
    """A float32 weight that is made from its stored form whenever the SavedModel is loaded.

    Args:
        weight: What is stored, as int8 or float16.

    Attributes:
        variables: What is stored, as variables; whatever is saved must own them.
    """

    def __init__(self, weight: CompressedWeight):
        super().__init__()
        self.variables = [tf.Variable(part, trainable=False) for part in weight.parts]
        self._shape = weight.stored.shape
        # Models in one process share names: those of equal names must be equal weights.
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
        """Returns the weight, without copying it."""
        value = tf.raw_ops.ReadVariableOp(resource=self.resource_handle, dtype=tf.float32)
        return tf.ensure_shape(value, self._shape)


class Bfloat16Weight(tf.Module):
    """A weight that is read as it is stored, in bfloat16.

    Args:
        weight: What is stored, as bfloat16.

    Attributes:
        variables: The one variable.
    """

    def __init__(self, weight: CompressedWeight):
        super().__init__()
        self._stored = tf.Variable(weight.stored, trainable=False)

    def read(self) -> tf.Tensor:
        """Returns the weight, without copying it."""
        return self._stored.read_value()


def serve_weight(weight: CompressedWeight) -> ExpandedWeight | Bfloat16Weight:
    """Returns what a SavedModel owns of a weight that is stored in fewer bits."""
    return Bfloat16Weight(weight) if weight.stored.dtype == tf.bfloat16 else ExpandedWeight(weight)


def read_compressed(
    compressed: Sequence[CompressedWeight], served: Sequence[ExpandedWeight | Bfloat16Weight]
) -> keras.StatelessScope:
    """Returns the scope in which a model reads what is served in place of its own weights.

    Args:
        compressed: The weights that are stored in fewer bits.
        served: Theirs from `serve_weight`, in the same order.
    """
    scope = keras.StatelessScope()
    for weight, own in zip(compressed, served, strict=True):
        read_in_scope(scope, weight.variable, own.read())
    return scope
