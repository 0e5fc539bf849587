"""Adam with one fused kernel per variable, and optionally one table updated row by row."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

import keras
import tensorflow as tf

from kerasft.training.step.lazy_rows import COUNTS_NAME, NUM_COUNTS, LazyRows, initial_counts
from kerasft.training.step.private import variable_index

Made = TypeVar("Made")


class _Memo:
    """A cache; an object of its own, since Keras tracks a plain dictionary."""

    def __init__(self):
        self.made: dict[Hashable, object] = {}


class SharedScalars:
    """Optimizer mixin: `once` computes a scalar once per `apply`.

    Rates, decays and Adam's corrections are a dozen ops for each of a hundred variables: a quarter
    of all ops of a step, each of which takes time to trace.
    """

    _memo: _Memo | None = None

    def apply(self, grads, trainable_variables=None) -> None:
        """Applies gradients, as Keras does."""
        # Under a strategy each call updates all variables of all replicas.
        self._memo = _Memo()
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._memo = None

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Returns the scalar tensors of `make`, called once per `key` in the same `apply`."""
        if self._memo is None:  # `update_step` was called directly
            return make()
        if key not in self._memo.made:
            self._memo.made[key] = make()
        return self._memo.made[key]


class _Scalars(NamedTuple):
    """Scalars shared by the updates of all variables of one age."""

    beta_1: tf.Tensor
    beta_2: tf.Tensor
    beta_1_power: tf.Tensor
    beta_2_power: tf.Tensor
    epsilon: tf.Tensor
    correction: tf.Tensor  # of both biases: sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t)
    taken: tf.Tensor | None  # 0 for a step that overflowed, else 1; `None` outside float16


class FusedAdam(SharedScalars, keras.optimizers.Optimizer):
    """Adam by TensorFlow's `ResourceApplyAdam`; see `AdamW`.

    Attributes:
        loss_scale: See `RuledUpdates`.
        kernels: Of `kerasft.models.fast.kernels`; `None`: TensorFlow's kernel.
        lazy_rows: The table whose rows are updated when they are read; `None`: none.
    """

    loss_scale = None
    kernels = None
    lazy_rows: LazyRows | None = None

    def __init__(self, learning_rate, *, beta_1, beta_2, epsilon, first_steps, **options):
        super().__init__(learning_rate=learning_rate, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.first_steps = dict(first_steps or {})

    def build(self, variables) -> None:
        """Creates the two moments of each variable."""
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        self._first_steps = [self.first_steps.get(variable.path, 0) for variable in variables]

    def build_lazy_rows(self, index: int, variable, *, weight_decay: float) -> None:
        """Makes the `(rows, width)` table at `index` update row by row from now on; after `build`.

        `weight_decay` is per step and unit of the table's learning rate.
        """
        counts = self.add_variable((variable.shape[0], NUM_COUNTS), name=COUNTS_NAME)
        counts.assign(initial_counts(variable.shape[0]))
        self.lazy_rows = LazyRows(
            *(variable, self._momentums[index], self._velocities[index], counts),
            beta_1=self.beta_1,
            beta_2=self.beta_2,
            epsilon=self.epsilon,
            weight_decay=weight_decay,
        )

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Updates one `tf.Variable` in place.

        The gradient is dense; of the lazy table `tf.IndexedSlices` with each row once.
        """
        index = variable_index(self, variable)
        dtype = variable.dtype
        scalars = self._shared(self._first_steps[index], dtype)
        rate = tf.cast(learning_rate, dtype)
        if isinstance(gradient, tf.IndexedSlices):
            self._require_lazy(index, variable).apply(
                gradient, rate=rate, correction=scalars.correction
            )
            return
        if scalars.taken is not None:
            gradient = tf.where(scalars.taken > 0, gradient, tf.zeros_like(gradient))
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=_local(self._momentums[index]).handle,
            v=_local(self._velocities[index]).handle,
            beta1_power=scalars.beta_1_power,
            beta2_power=scalars.beta_2_power,
            lr=rate,
            beta1=scalars.beta_1,
            beta2=scalars.beta_2,
            epsilon=scalars.epsilon,
            grad=tf.cast(gradient, dtype),
        )

    def updates_by_kernels(self, gradient, variable) -> bool:
        """Returns whether to call `update_by_kernels` instead of `update_step`."""
        in_float32 = variable.dtype == tf.float32 and gradient.dtype == tf.float32
        is_dense = not isinstance(gradient, tf.IndexedSlices)
        return self.kernels is not None and self.loss_scale is None and is_dense and in_float32

    def update_by_kernels(self, gradient, variable, rate, decay) -> None:
        """Decays and updates one variable in place, in one pass.

        The gradient is dense; `rate` and `decay` are scalars: the learning rate, and the share of
        the weights that decays (`None`: no decay).
        """
        index = variable_index(self, variable)
        first = self._first_steps[index]

        def pack() -> tf.Tensor:
            corrected = rate * self._shared(first, variable.dtype).correction
            taken_away = tf.zeros_like(rate) if decay is None else decay
            return tf.stack([corrected, taken_away, self.beta_1, self.beta_2, self.epsilon])

        self.kernels.kerasft_adam(
            variable.handle,
            _local(self._momentums[index]).handle,
            _local(self._velocities[index]).handle,
            gradient,
            # Variables with the same rate share the tensor.
            self.once(("packed", first, rate.ref(), decay is None), pack),
        )

    def _shared(self, first_step: int, dtype) -> _Scalars:
        """Returns this step's scalars for all variables first updated at `first_step`."""
        return self.once(("adam", first_step, dtype), lambda: self._scalars(first_step, dtype))

    def _scalars(self, first_step: int, dtype) -> _Scalars:
        step = tf.cast(self.iterations + 1 - first_step, dtype)
        beta_1, beta_2, taken = self.beta_1, self.beta_2, None
        if self.loss_scale is not None:
            # A step that overflowed in float16 is skipped: the moments stay as they are.
            taken = tf.cast(self.loss_scale.is_taken, dtype)
            beta_1, beta_2 = 1 - taken * (1 - beta_1), 1 - taken * (1 - beta_2)
        beta_1_power, beta_2_power = self.beta_1**step, self.beta_2**step
        return _Scalars(
            tf.convert_to_tensor(beta_1, dtype),
            tf.convert_to_tensor(beta_2, dtype),
            beta_1_power,
            beta_2_power,
            tf.constant(self.epsilon, dtype),
            tf.sqrt(1 - beta_2_power) / (1 - beta_1_power),
            taken,
        )

    def _require_lazy(self, index: int, variable) -> LazyRows:
        # By index: under a strategy `variable` is the table's component on one device.
        if self.lazy_rows is None or variable_index(self, self.lazy_rows.table) != index:
            raise TypeError(
                f"AdamW received tf.IndexedSlices for {variable.name}. Expected a dense "
                "gradient: sum the repeated rows with tf.convert_to_tensor first."
            )
        return self.lazy_rows


def _local(variable) -> tf.Variable:
    """Returns a Keras variable's component on the device being updated."""
    return variable.value
