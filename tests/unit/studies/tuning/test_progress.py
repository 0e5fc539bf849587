"""What a run's history says: how far it is, and the median rule, against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.progress import MIN_FINISHED, read_curve, share_done, why_prune
from kerasft.training.callbacks.history import STEP_COLUMNS

METRIC = "validation/accuracy"


def curve(*values):
    return list(enumerate(values, start=1))


def write_history(folder, rows, columns=STEP_COLUMNS):
    lines = [",".join(columns), *(",".join(map(str, row)) for row in rows)]
    (folder / "history.csv").write_text("\n".join([*lines, "7,3.5,0.1"]))  # the last one is torn


values = st.lists(st.floats(0, 1), min_size=1, max_size=6)


@given(values, st.lists(values, min_size=MIN_FINISHED, max_size=9), st.booleans())
def test_it_is_the_median_of_the_running_averages(own, others, lower):
    reached = [np.mean(other[: len(own)]) for other in others]
    best, median = (min if lower else max)(own), np.median(reached)
    assume(abs(best - median) > 1e-9)
    expected = best > median if lower else best < median
    metric = "validation/log_loss" if lower else METRIC
    found = why_prune(curve(*own), [curve(*other) for other in others], metric)
    assert (found is not None) == expected


GOOD, LATE, HALVES = curve(0.9), [(3, 0.9)], [(0.5, 0.9), (1, 0.1)]


@pytest.mark.parametrize(
    ("own", "finished", "reason"),
    [
        (
            curve(0.5, 0.4),
            [curve(0.6, 0.8)] * 5,
            "after 2 epochs its best was 0.5000, the median of 5 finished trials 0.7000",
        ),
        # Too early to judge.
        ([], [GOOD] * MIN_FINISHED, None),
        (curve(0.1), [GOOD] * (MIN_FINISHED - 1), None),
        (curve(0.1), [GOOD] * MIN_FINISHED, "the median"),
        # Trials that were evaluated later only have no say.
        (curve(0.1, 0.1), [LATE] * MIN_FINISHED, None),
        (curve(0.1, 0.1, 0.1), [LATE] * MIN_FINISHED, "the median"),
        # A metric that is never a number.
        (curve(math.nan), [GOOD] * MIN_FINISHED, "its best was nan"),
        (curve(math.nan, 0.95), [GOOD] * MIN_FINISHED, None),
        # Batches of another size meet at the same epoch.
        ([(0.5 - 1e-9, 0.8)], [HALVES] * MIN_FINISHED, "the median"),
        ([(1, 0.8)], [HALVES] * MIN_FINISHED, None),
    ],
)
def test_which_trial_lags_behind(own, finished, reason):
    found = why_prune(own, finished, METRIC)
    assert (found is None) == (reason is None)
    assert (reason or "") in (found or "")


@pytest.mark.parametrize("rows", [[], [0.5, None, 0.75]])
def test_the_curve_is_read_from_the_history(tmp_path, rows):
    assert read_curve(tmp_path, METRIC) == []  # before the first step
    filled = [1] * (len(STEP_COLUMNS) - 2)
    cells = [[n, n / 2, *filled, "" if v is None else v] for n, v in enumerate(rows, start=1)]
    write_history(tmp_path, cells, (*STEP_COLUMNS, METRIC))
    expected = [(n / 2, value) for n, value in enumerate(rows, start=1) if value is not None]
    assert read_curve(tmp_path, METRIC) == expected
    assert read_curve(tmp_path, "validation/f1/red") == []  # not every metric has a column


@pytest.mark.parametrize(
    ("length", "share"),
    [({"epochs": 5}, 0.1), ({"steps": 80}, 0.25), ({"examples": 1280, "batch_size": 32}, 0.5)],
)
def test_how_far_a_run_is(tmp_path, length, share):
    write_history(tmp_path, [[step, step / 40, *[1] * 8] for step in range(1, 21)])
    recipe = load_recipe("glue_mrpc", {f"training.{key}": value for key, value in length.items()})
    assert share_done(recipe, RunDir(tmp_path)) == pytest.approx(share)
    assert share_done(recipe, RunDir(tmp_path / "none")) == 0
    assert share_done(recipe, None) == 0
