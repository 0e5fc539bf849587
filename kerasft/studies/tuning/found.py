"""What came of a study, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from kerasft.studies.tuning.ending import Ending
from kerasft.studies.tuning.finals import Finalist, Tried
from kerasft.studies.tuning.searching import Settled


@dataclasses.dataclass(frozen=True)
class Found:
    """What came of a study.

    Args:
        settled: The metric, and what was held for all runs.
        tried: The recipe as it is, and all trials in the order in which they began.
        finalists: Those that were run with new seeds; none where there was no time.
        winner: The best of them; without finals the best trial. `None`: nothing came to its end.
        conclusion: Whether the search beats the recipe as it is, in words.
        ending: Why the search ended.
        best_run: The winner's run that is best on validation.
        test: Its metrics on its test split; none without a test.
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
