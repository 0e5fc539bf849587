"""Why a search ended, as a word for programs and a sentence for people."""

from __future__ import annotations

import dataclasses

from kerasft.studies.tuning.budget import write_time

TRIALS, BUDGET, FAILURES = "trials", "budget", "failures"
EXHAUSTED, BRACKETS, NO_PROPOSAL = "exhausted", "brackets", "no_proposal"
CLOSED = "closed"
MAX_FAILURES = 5  # in a row, before a search gives up


@dataclasses.dataclass(frozen=True)
class Ending:
    """The end of a search.

    Args:
        reason: `trials` (the requested number), `budget`, `failures` (in a row), `exhausted` (all
            points of the space were tried), `brackets` (of Hyperband), `no_proposal` (KerasTuner
            found no new point) or `closed` (the winner was tested).
        trials: Number of trials started, without the baseline.
        asked: Number of trials requested; `None`: no number was given.
        message: The reason as a sentence.
    """

    reason: str
    trials: int
    asked: int | None
    message: str


def describe_ending(
    reason: str,
    *,
    trials: int,
    asked: int | None,
    points: int | None,
    budget_seconds: float | None,
) -> Ending:
    """Returns the end of a search with its sentence; see `Ending`.

    `points` is the size of the space; `None`: not countable.
    """
    count = f"{trials}" if asked is None or reason == TRIALS else f"{trials} of {asked}"
    ended = f"The search ended after {count} trial{'' if count == '1' else 's'}"
    message = {
        TRIALS: f"{ended}: {asked} {'was' if asked == 1 else 'were'} asked for.",
        BUDGET: f"{ended}: the budget of {write_time(budget_seconds or 0)} has no room for more.",
        FAILURES: f"{ended}: {MAX_FAILURES} of them failed one after the other.",
        EXHAUSTED: f"{ended}: the space is exhausted, all of its {points} points were tried.",
        BRACKETS: f"{ended}: Hyperband has run all of its brackets.",
        NO_PROPOSAL: f"{ended}: KerasTuner found no more settings that were not tried yet.",
        CLOSED: "The search was closed in an earlier session, when its winner was tested.",
    }[reason]
    return Ending(reason, trials, asked, message)
