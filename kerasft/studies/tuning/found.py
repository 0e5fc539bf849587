"""The result of a study, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from kerasft.studies.tuning.ending import Ending
from kerasft.studies.tuning.finals import Finalist, Tried
from kerasft.studies.tuning.searching import Settled


@dataclasses.dataclass(frozen=True)
class Found:
    """The result of a study.

    Args:
        settled: The metric, and the settings fixed for all runs.
        tried: The baseline and all trials, in the order in which they began.
        finalists: Trials run with new seeds; empty if there was no time.
        winner: The best finalist; without finals the best trial. `None`: nothing was completed.
        conclusion: Whether the search beats the baseline, in words.
        ending: Why the search ended.
        best_run: The winner's run that is best on validation.
        test: The winner's metrics on its test split; empty if it was not tested.
        untested: Why nothing was tested; empty if the winner was.
    """

    settled: Settled
    tried: tuple[Tried, ...]
    finalists: tuple[Finalist, ...]
    winner: Finalist | None
    conclusion: str
    ending: Ending
    best_run: str | None = None
    test: Mapping[str, float] = dataclasses.field(default_factory=dict)
    untested: str = ""
