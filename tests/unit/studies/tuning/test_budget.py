"""Time: how it is written, and what still fits; and why a search ended, in words."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kerasft.errors import UserError
from kerasft.recipe.space import Dimension
from kerasft.studies.tuning import ending
from kerasft.studies.tuning.budget import Budget, Finals, read_time, write_time
from kerasft.studies.tuning.ending import describe_ending
from kerasft.studies.tuning.plan import Plan


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2h", 7200), ("1h30m", 5400), ("45m", 2700), ("90s", 90), ("1.5h", 5400), ("1h 5s", 3605)],
)
def test_times_are_read(text, seconds):
    assert read_time(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "0s", "two hours", "30m1h", "-1h", "1d", "nanh"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UserError, match=r"--budget is no time.*Expected: such as 2h"):
        read_time(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.4, "12s"), (150, "2m30s"), (3900, "1h05m"), (59.9, "1m00s")]
)
def test_times_are_written(seconds, text):
    assert write_time(seconds) == text


def budget(seconds, used=0.0, workers=1):
    return Budget(seconds, used, workers, clock=lambda: 1000.0)


def test_a_trial_of_the_median_length_and_the_finals_have_to_end_in_time():
    assert budget(100, used=40).fits([10, 60, 90])
    assert not budget(100, used=41).fits([10, 60, 90])
    assert budget(None, used=1e9).fits([60])
    assert budget(100).fits([20], reserved_runs=4)
    assert not budget(100).fits([20], reserved_runs=5)
    assert budget(100, workers=2).fits([20], reserved_runs=8)


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        *[(None, (3, 3)), (240, (3, 3)), (239, (2, 3)), (120, (1, 3))],
        *[(119, (1, 2)), (79, (2, 1)), (59, (1, 1)), (39, (0, 0))],
    ],
)
def test_finals_take_half_at_most_first_fewer_finalists_then_fewer_seeds(seconds, chosen):
    assert budget(seconds).choose_finals(Finals(3, 3), 10) == chosen
    assert (Finals(3, 3).runs, Finals(0, 0).runs) == (12, 0)


@pytest.mark.parametrize(
    ("seconds", "used", "known", "refused"),
    [
        # 130 s for a quarter of it: 520 s, and a trial as long.
        (1000.0, 130, {"share": 0.25}, ("16m40s", "17m20s or more", "at least 8m40s")),
        (1100.0, 130, {"share": 0.25}, None),
        (1000.0, 130, {"share": 0.05}, None),  # how long it takes cannot be told yet
        (1000.0, 130, {"took": 501.0}, ("16m40s", "16m42s or more", "at least 8m21s")),
        (None, 1e9, {"share": 0.25}, None),
    ],
)
def test_a_budget_is_refused_as_soon_as_it_is_known_to_be_too_small(seconds, used, known, refused):
    found = budget(seconds, used)
    if refused is None:
        found.check_time_of_one("kerasft tune --resume X", **known)
        return
    with pytest.raises(UserError) as told:
        found.check_time_of_one("kerasft tune --resume X", **known)
    assert all(part in str(told.value) for part in refused)
    fix = str(told.value).partition("Fix: kerasft tune --resume X --budget ")[2]
    budget(read_time(fix), used).check_time_of_one("", **known)  # following it helps


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
    recipe = SimpleNamespace(tuning=[Dimension("training.batch_size", "choices", (8, 16, 32, 64))])
    plan = Plan(recipe, "random", trials=asked, budget_seconds=5400)
    found = describe_ending(reason, plan, trials=2)
    assert said in found.message
    assert (found.reason, found.trials, found.asked) == (reason, 2, asked)
