"""Decides which of two evaluations is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from kerasft.errors import UserError
from kerasft.metric import is_defined, loss_metric, merit, rank

_VALIDATION = "validation/"


class Ranking(NamedTuple):
    """Orders evaluations by the monitored metric; ties by lower loss, then by later step.

    An undefined metric, NaN, ranks below any value. `monitor` is such as `validation/accuracy`.
    """

    monitor: str

    def value(self, evaluation: Mapping[str, float]) -> float:
        """Returns the monitored metric of an evaluation."""
        value = monitored(evaluation, self.monitor)
        return math.nan if value is None else value  # JSON keeps NaN as null

    def key(self, evaluation: Mapping[str, float]) -> tuple[bool, float, float, int]:
        """Returns the sort key (larger is better) of an evaluation: its metrics and its `step`."""
        loss = evaluation.get(loss_metric(evaluation))
        return *rank(self.monitor, self.value(evaluation), loss), evaluation["step"]


def monitored(metrics: Mapping[str, float], monitor: str) -> float:
    """Returns the value of the monitored metric; raises `UserError` if the task has none."""
    name = monitor.removeprefix(_VALIDATION)
    if name not in metrics:
        raise UserError(
            "There is no such metric to choose the best checkpoint by.",
            received=f'training.monitor="{monitor}"',
            expected="one of " + ", ".join(f"validation/{key}" for key in sorted(metrics)),
        )
    return metrics[name]


def is_better(value: float, best: float | None, monitor: str) -> bool:
    """Returns whether a value beats the best so far; NaN never does."""
    if not is_defined(value) or not is_defined(best):
        return is_defined(value)
    return merit(monitor, value) > merit(monitor, best)
