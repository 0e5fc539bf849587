"""The numbers of a run under the names that TensorBoard and Weights & Biases show them by."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from kerasft.training.callbacks.callback import BatchStats, StepResult
from kerasft.training.loop.memory import resident_bytes

# Of every step.
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
ALTERED_TAG = "step/altered_share"  # where something augments
DEVICE_MEMORY_TAG = "memory/device_gigabytes"  # where there is a GPU; of the first
_GIGA = 1e9


def step_scalars(result: StepResult, stats: BatchStats) -> dict[str, float]:
    """Returns what is told of a step: `STEP_TAGS` in their order, then what not every step has."""
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
    """Returns what is told of an epoch's or an evaluation's metrics.

    The first part of a name is the group that TensorBoard shows a chart in. The log loss of an
    evaluation is what training calls loss; a count that never changes is no curve.

    Args:
        metrics: Keys without the split.
    """
    if "log_loss" in metrics:
        metrics = {**metrics, "loss": metrics["log_loss"]}
    return {
        f"per_class/{name}" if "/" in name else f"epoch/{name}": value
        for name, value in metrics.items()
        if not name.startswith("support/")
    }
