"""Time: how it is written, and what still fits."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.studies.tuning.budget import Budget, Finals, read_time, write_time


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


def test_a_trial_of_the_median_length_has_to_end_in_time():
    assert budget(100, used=40).fits([10, 60, 90])
    assert not budget(100, used=41).fits([10, 60, 90])
    assert budget(None, used=1e9).fits([60])


def test_room_for_the_finals_is_kept():
    assert budget(100).fits([20], reserved_runs=4)
    assert not budget(100).fits([20], reserved_runs=5)
    assert budget(100, workers=2).fits([20], reserved_runs=8)


def test_finals_take_half_of_it_at_most_first_fewer_finalists_then_fewer_seeds():
    wanted = Finals(3, 3)
    assert wanted.runs == 12
    assert budget(240).choose_finals(wanted, 10, fixed=False) == wanted
    assert budget(239).choose_finals(wanted, 10, fixed=False) == Finals(2, 3)
    assert budget(120).choose_finals(wanted, 10, fixed=False) == Finals(1, 3)
    assert budget(119).choose_finals(wanted, 10, fixed=False) == Finals(1, 2)
    assert budget(79).choose_finals(wanted, 10, fixed=False) == Finals(2, 1)
    assert budget(59).choose_finals(wanted, 10, fixed=False) == Finals(1, 1)
    assert budget(39).choose_finals(wanted, 10, fixed=False) == Finals(0, 0)
    assert Finals(0, 0).runs == 0
    assert budget(39).choose_finals(wanted, 10, fixed=True) == wanted
    assert budget(None).choose_finals(wanted, 10, fixed=False) == wanted
