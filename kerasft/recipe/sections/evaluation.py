"""`[evaluation]`: the final evaluation."""

from __future__ import annotations

import dataclasses

from kerasft.metric import HEADLINES
from kerasft.recipe.rules import at_least, one_of, setting


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """`[evaluation]`: the final evaluation, in float32."""

    batch_size: int = setting(
        64,
        "Examples in one evaluation batch, over all replicas; up to four times as many short ones.",
        at_least(1),
    )
    headline: str | None = setting(
        None,
        "The metric that counts; unset: the task's own, macro F1 when classes are balanced by "
        "class_weights or oversample.",
        one_of(*HEADLINES),
    )
    test: bool = setting(
        True, "Whether the run ends with its test splits; else with validation, as in a search."
    )
    tune_thresholds: bool = setting(
        True, "With several labels: choose each label's threshold on validation; else 0.5."
    )
    bootstrap_resamples: int = setting(
        1000, "Resamples of the headline metric's interval.", at_least(1)
    )
    calibration_bins: int = setting(15, "Bins of the expected calibration error.", at_least(1))
