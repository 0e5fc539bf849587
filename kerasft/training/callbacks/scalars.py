"""Names of a run's scalars, as TensorBoard and Weights & Biases show them."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from kerasft.training.callbacks.callback import BatchStats, StepResult
from kerasft.training.loop.memory import resident_bytes

# Logged for every step.
STEP_TAGS = (
    "step/loss",
    "step/learning_rate",
    "step/gradient_norm",
    "speed/examples_per_second",
    "speed/tokens_per_second",
    "speed/padding_share",
    "speed/idle_share",
    "speed/data_wait_share",
    "memory/resident_gigabytes",
)
ALTERED_TAG = "step/altered_share"  # only with augmentation
DEVICE_MEMORY_TAG = "memory/device_gigabytes"  # only with a GPU; the first one
_GIGA = 1e9


def step_scalars(result: StepResult, stats: BatchStats) -> dict[str, float]:
    """Returns the scalars of a step: `STEP_TAGS` in order, then those that not every step has."""
    values = (
        result.loss,
        result.learning_rate,
        result.gradient_norm,
        *stats.speed(result.seconds).values(),
        result.waited / result.seconds,
        resident_bytes() / _GIGA,
    )
    scalars = dict(zip(STEP_TAGS, values, strict=True))
    if stats.altered is not None:
        scalars[ALTERED_TAG] = stats.altered / stats.examples
    if result.norms and tf.config.list_logical_devices("GPU"):
        info = tf.config.experimental.get_memory_info("GPU:0")
        scalars[DEVICE_MEMORY_TAG] = info["current"] / _GIGA
    return scalars | dict(result.norms)


def metric_scalars(metrics: Mapping[str, float]) -> dict[str, float]:
    """Returns the scalars of an epoch or evaluation, from metrics without the split in their keys.

    The first part of a name is the group of its chart in TensorBoard. An evaluation's `log_loss` is
    named as the training loss; counts that never change are left out.
    """
    if "log_loss" in metrics:
        metrics = {**metrics, "loss": metrics["log_loss"]}
    return {
        f"per_class/{name}" if "/" in name else f"epoch/{name}": value
        for name, value in metrics.items()
        if not name.startswith("support/")
    }
