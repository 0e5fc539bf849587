"""Which of two evaluations is the better one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from kerasft.errors import UserError
from kerasft.metrics.facts import LOWER_IS_BETTER

_VALIDATION = "validation/"


class Ranking(NamedTuple):
    """Orders evaluations by the monitored metric; ties by a lower loss, then by the later step.

    An undefined metric, NaN, ranks below any value.

    Attributes:
        monitor: The validation metric, as `validation/accuracy`.
        loss_metric: The metric that settles ties: the lower, the better.
    """

    monitor: str
    loss_metric: str

    def value(self, evaluation: Mapping[str, float]) -> float:
        """Returns the monitored metric of an evaluation."""
        return _number(monitored(evaluation, self.monitor))

    def key(self, evaluation: Mapping[str, float]) -> tuple[float, float, float]:
        """Returns what evaluations are sorted by: the larger, the better.

        Args:
            evaluation: Its metrics and its `step`.
        """
        sign = -1 if lower_is_better(self.monitor) else 1
        loss = _number(evaluation.get(self.loss_metric))
        return _nan_last(sign * self.value(evaluation)), _nan_last(-loss), evaluation["step"]


def monitored(metrics: Mapping[str, float], monitor: str) -> float:
    """Returns the value of the monitored metric.

    Raises:
        UserError: If the task has no such metric.
    """
    name = monitor.removeprefix(_VALIDATION)
    if name not in metrics:
        raise UserError(
            "There is no such metric to choose the best checkpoint by.",
            received=f'training.monitor="{monitor}"',
            expected="one of " + ", ".join(f"validation/{key}" for key in sorted(metrics)),
        )
    return metrics[name]


def is_better(value: float, best: float | None, monitor: str) -> bool:
    """Tells whether a value of the monitored metric beats the best so far; NaN never does."""
    if math.isnan(value):
        return False
    if best is None or math.isnan(best):
        return True
    return value < best if lower_is_better(monitor) else value > best


def lower_is_better(monitor: str) -> bool:
    """Tells whether less of a metric is better."""
    return monitor.removeprefix(_VALIDATION) in LOWER_IS_BETTER


def _number(value: float | None) -> float:
    """Returns a metric, of which JSON keeps NaN as null."""
    return math.nan if value is None else value


def _nan_last(value: float) -> float:
    return -math.inf if math.isnan(value) else value
