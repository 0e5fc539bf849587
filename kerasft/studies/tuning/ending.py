"""Why a search ended, as a word for programs and a sentence for people."""

from __future__ import annotations

import dataclasses

from kerasft.studies.tuning.budget import write_time
from kerasft.studies.tuning.plan import Plan
from kerasft.studies.tuning.space import count_points

TRIALS, BUDGET, FAILURES = "trials", "budget", "failures"
EXHAUSTED, BRACKETS, NO_PROPOSAL = "exhausted", "brackets", "no_proposal"
CLOSED = "closed"
MAX_FAILURES = 5  # in a row, before a search gives up


@dataclasses.dataclass(frozen=True)
class Ending:
    """The end of a search after a number of `trials`, and why, as a word and as a sentence.

    `asked` is the number of trials that was requested; `None`: none was.
    """

    reason: str
    trials: int
    asked: int | None
    message: str


def describe_ending(reason: str, plan: Plan, trials: int) -> Ending:
    """Returns the end of a search, for one of the reasons above, after a number of trials."""
    asked = plan.trials
    count = f"{trials}" if asked is None or reason == TRIALS else f"{trials} of {asked}"
    ended = f"The search ended after {count} trial{'' if count == '1' else 's'}"
    points = count_points(plan.recipe.tuning)
    budget = write_time(plan.budget_seconds or 0)
    message = {
        TRIALS: f"{ended}: {asked} {'was' if asked == 1 else 'were'} asked for.",
        BUDGET: f"{ended}: the budget of {budget} has no room for more.",
        FAILURES: f"{ended}: {MAX_FAILURES} of them failed one after the other.",
        EXHAUSTED: f"{ended}: the space is exhausted, all of its {points} points were tried.",
        BRACKETS: f"{ended}: Hyperband has run all of its brackets.",
        NO_PROPOSAL: f"{ended}: KerasTuner found no more settings that were not tried yet.",
        CLOSED: "The search was closed in an earlier session, when its winner was tested.",
    }[reason]
    return Ending(reason, trials, asked, message)
