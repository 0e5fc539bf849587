"""Optimizers: AdamW on fused kernels, and Keras optimizers, with rules per variable.

The rules are decoupled weight decay by variable path, and a learning rate per variable. They act in
the update itself: scaling the gradients has no effect, since Adam's step does not depend on their
scale.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from kerasft.recipe.sections.training import OPTIMIZER_SETTINGS
from kerasft.training.step.fused_adam import FusedAdam, SharedScalars
from kerasft.training.step.private import NoAllReduce, variable_index

# Biases and all LayerNorm weights are not decayed, as in BERT.
NO_WEIGHT_DECAY = (r"(^|/)bias$", r"layer_?norm", r"(^|/)(gamma|beta)$")

_KERAS_OPTIMIZERS = {
    "sgd": keras.optimizers.SGD,
    "rmsprop": keras.optimizers.RMSprop,
    "adagrad": keras.optimizers.Adagrad,
    "adamax": keras.optimizers.Adamax,
    "nadam": keras.optimizers.Nadam,
    "adafactor": keras.optimizers.Adafactor,
    "lion": keras.optimizers.Lion,
}


class RuledUpdates(NoAllReduce, SharedScalars):
    """Mixin for a `keras.optimizers.Optimizer`: weight decay and learning rate per variable.

    A variable's update is `variable -= rate * decay * variable` (Loshchilov & Hutter 2019), then
    the optimizer's own step, both with the variable's own rate.

    Attributes:
        loss_scale: The `LossScale` of training in float16, else `None`; set before a step is
            traced.
    """

    loss_scale = None

    def set_rules(
        self,
        *,
        weight_decay: float,
        no_weight_decay: Sequence[str] = NO_WEIGHT_DECAY,
        rate_scales: Mapping[str, float] | None = None,
    ) -> None:
        """Sets the rules, before `build`.

        Args:
            weight_decay: Decay per step and unit of the learning rate.
            no_weight_decay: Regular expressions; variables whose path matches one are not decayed.
            rate_scales: Learning rate multiplier by variable path; 1 for others.
        """
        self.decay_rate = weight_decay
        self.no_weight_decay = tuple(no_weight_decay)
        self.rate_scales = dict(rate_scales or {})

    def build(self, variables) -> None:
        """Creates the optimizer's variables and resolves the rules of each weight."""
        if self.built:
            return
        super().build(variables)
        paths = [variable.path for variable in variables]
        self._decayed = [self.decays(path) for path in paths]
        self._scales = [self.rate_scales.get(path, 1.0) for path in paths]

    def decays(self, path: str) -> bool:
        """Returns whether the variable at this path is decayed."""
        return self.decay_rate > 0 and not any(
            re.search(pattern, path) for pattern in self.no_weight_decay
        )

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Updates one variable in place; the scalar `learning_rate` is not yet scaled for it."""
        index = variable_index(self, variable)
        rate, decay = self.rates(index, variable.dtype, learning_rate)
        if self._decayed[index] and not isinstance(gradient, tf.IndexedSlices):  # decay by row
            variable.assign_sub(decay * variable)
        super().update_step(gradient, variable, rate)

    def rates(self, index: int, dtype, learning_rate) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the learning rate of the variable at `index`, and the share of it that decays.

        The scalar `learning_rate` is not yet scaled for this variable.
        """
        scale = self._scales[index]

        def make() -> tuple[tf.Tensor, tf.Tensor]:
            rate = tf.cast(learning_rate, dtype) * scale
            if self.loss_scale is not None:
                rate *= self.loss_scale.is_taken
            return rate, rate * self.decay_rate

        return self.once(("rates", scale, dtype), make)


@keras.saving.register_keras_serializable(package="kerasft")
class AdamW(RuledUpdates, FusedAdam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), fused.

    It equals `keras.optimizers.AdamW` at a third of the cost on a CPU. As in Keras and TensorFlow
    ("epsilon hat" of Kingma & Ba 2015, section 2) epsilon is added to the root of the raw second
    moment; PyTorch adds it after the bias correction, where it acts `1 / sqrt(1 - beta_2 ** t)`
    times as strongly: noticeable only if the gradient is about as small as epsilon.

    Gradients must be dense: the kernel cannot sum repeated rows of `tf.IndexedSlices`, and squaring
    before summing would be wrong. Only the lazy table's gradient is `tf.IndexedSlices`, with each
    row once; code that reads the table must bring it up to date first (`lazy_rows`).

    Args:
        learning_rate: Rate, or a schedule.
        weight_decay: Decay per step and unit of the learning rate.
        beta_1: Decay rate of the first moment.
        beta_2: Decay rate of the second moment.
        epsilon: Added to the denominator.
        no_weight_decay: Regular expressions; variables whose path matches one are not decayed.
        rate_scales: Learning rate multiplier by variable path.
        first_steps: Step of the first update by variable path, from which its bias correction
            counts. Defaults to 0.
        ema_decay: Decay of an additional moving average of the weights; 0: none.
        lazy_table: Path of a table that is updated row by row, see `LazyRows`; on one device,
            without a moving average. Defaults to `None`: every variable is updated whole.
        name: Name of the optimizer.

    Raises:
        TypeError: If a gradient is a `tf.IndexedSlices`.
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own
        self,
        learning_rate=5e-5,
        *,
        weight_decay: float = 0.01,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        no_weight_decay: Sequence[str] = NO_WEIGHT_DECAY,
        rate_scales: Mapping[str, float] | None = None,
        first_steps: Mapping[str, int] | None = None,
        ema_decay: float = 0.0,
        lazy_table: str | None = None,
        name: str = "adamw",
    ):
        # Keras's weight_decay would run as separate ops; here `update_step` includes it.
        super().__init__(
            learning_rate,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            first_steps=first_steps,
            name=name,
            **_averaging(ema_decay),
        )
        self.set_rules(
            weight_decay=weight_decay, no_weight_decay=no_weight_decay, rate_scales=rate_scales
        )
        self.lazy_table = lazy_table

    def build(self, variables) -> None:
        """Creates the optimizer's variables."""
        if self.built:
            return
        super().build(variables)
        for index, variable in enumerate(variables):
            if variable.path == self.lazy_table:
                decay = self.decay_rate if self.decays(variable.path) else 0.0
                self.build_lazy_rows(index, variable, weight_decay=decay)

    def update_step(self, gradient, variable, learning_rate) -> None:
        """Updates one variable in place; see `RuledUpdates` and `FusedAdam`."""
        if not self.updates_by_kernels(gradient, variable):
            super().update_step(gradient, variable, learning_rate)
            return
        index = variable_index(self, variable)
        rate, decay = self.rates(index, variable.dtype, learning_rate)
        self.update_by_kernels(gradient, variable, rate, decay if self._decayed[index] else None)

    def get_config(self) -> dict[str, object]:
        """Returns the arguments, for Keras's serialization."""
        config = super().get_config()
        return {
            "name": config["name"],
            "learning_rate": config["learning_rate"],
            "weight_decay": self.decay_rate,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "no_weight_decay": self.no_weight_decay,
            "rate_scales": self.rate_scales,
            "first_steps": self.first_steps,
            "ema_decay": self.ema_momentum if self.use_ema else 0.0,
            "lazy_table": self.lazy_table,
        }


def build_optimizer(
    name: str,
    learning_rate,
    *,
    weight_decay: float = 0.01,
    rate_scales: Mapping[str, float] | None = None,
    first_steps: Mapping[str, int] | None = None,
    ema_decay: float = 0.0,
    lazy_table: str | None = None,
    **settings: float,
) -> keras.optimizers.Optimizer:
    """Builds AdamW or a Keras optimizer by name, with the same rules.

    Args:
        name: `adamw`, `sgd`, `rmsprop`, `adagrad`, `adamax`, `nadam`, `adafactor` or `lion`.
        learning_rate: Rate, or a schedule.
        weight_decay: See `AdamW`, also for the following arguments.
        rate_scales: By path.
        first_steps: By path; AdamW only.
        ema_decay: 0: none.
        lazy_table: AdamW only.
        settings: `beta_1`, `beta_2`, `epsilon`, `momentum`; ignored if the optimizer lacks it.

    Raises:
        ValueError: If there is no such optimizer.
    """
    if name not in OPTIMIZER_SETTINGS:
        raise ValueError(
            f"Unknown optimizer. Received: {name!r}. Expected: {', '.join(OPTIMIZER_SETTINGS)}."
        )
    own = {key: settings[key] for key in OPTIMIZER_SETTINGS[name] if key in settings}
    rules = {"weight_decay": weight_decay, "rate_scales": rate_scales}
    if name == "adamw":
        rules |= {"first_steps": first_steps, "ema_decay": ema_decay, "lazy_table": lazy_table}
        return AdamW(learning_rate, **own, **rules)
    base = _KERAS_OPTIMIZERS[name]
    ruled = type(f"Ruled{base.__name__}", (RuledUpdates, base), {})
    optimizer = ruled(learning_rate, name=name, **own, **_averaging(ema_decay))
    optimizer.set_rules(**rules)
    return optimizer


def _averaging(ema_decay: float) -> dict[str, object]:
    """Returns the Keras optimizer arguments for a moving average of the weights."""
    return {"use_ema": True, "ema_momentum": ema_decay} if ema_decay else {}
