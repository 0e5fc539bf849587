"""Why a search ended, in words."""

from __future__ import annotations

import pytest

from kerasft.studies.tuning import ending
from kerasft.studies.tuning.ending import describe_ending


@pytest.mark.parametrize(
    ("reason", "asked", "said"),
    [
        (ending.TRIALS, 2, "after 2 trials: 2 were asked for."),
        (ending.TRIALS, 1, "after 2 trials: 1 was asked for."),
        (ending.BUDGET, None, "after 2 trials: the budget of 1h30m has no room for more."),
        (ending.BUDGET, 10, "after 2 of 10 trials: the budget of 1h30m has no room for more."),
        (ending.FAILURES, 10, "after 2 of 10 trials: 5 of them failed one after the other."),
        (ending.EXHAUSTED, 10, "after 2 of 10 trials: the space is exhausted, all of its 4 points"),
        (ending.BRACKETS, None, "after 2 trials: Hyperband has run all of its brackets."),
        (ending.NO_PROPOSAL, 10, "2 of 10 trials: KerasTuner found no more settings that were not"),
        (ending.CLOSED, 10, "The search was closed in an earlier session, when its winner was"),
    ],
)
def test_each_reason_has_its_sentence(reason, asked, said):
    found = describe_ending(reason, trials=2, asked=asked, points=4, budget_seconds=5400)
    assert said in found.message
    assert (found.reason, found.trials, found.asked) == (reason, 2, asked)
