"""The median rule, against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kerasft.studies.tuning.keras_tuner.pruning import (
    MIN_FINISHED,
    Evaluation,
    read_curve,
    why_prune,
)
from kerasft.training.callbacks.history import STEP_COLUMNS

METRIC = "validation/accuracy"


def curve(*values):
    return [Evaluation(epoch, value) for epoch, value in enumerate(values, start=1)]


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


def test_the_reason_has_the_figures():
    found = why_prune(curve(0.5, 0.4), [curve(0.6, 0.8)] * 5, METRIC)
    assert found == "after 2 epochs its best was 0.5000, the median of 5 finished trials 0.7000"


def test_nothing_is_judged_too_early():
    finished = [curve(0.9)] * MIN_FINISHED
    assert why_prune([], finished, METRIC) is None
    assert why_prune(curve(0.1), finished[1:], METRIC) is None
    assert why_prune(curve(0.1), finished, METRIC) is not None


def test_trials_that_were_evaluated_later_only_have_no_say():
    late = [[Evaluation(3, 0.9)]] * MIN_FINISHED
    assert why_prune(curve(0.1, 0.1), late, METRIC) is None
    assert why_prune(curve(0.1, 0.1, 0.1), late, METRIC) is not None


def test_a_trial_whose_metric_is_never_a_number_is_ended():
    finished = [curve(0.9)] * MIN_FINISHED
    assert why_prune(curve(math.nan), finished, METRIC) is not None
    assert why_prune(curve(math.nan, 0.95), finished, METRIC) is None


def test_batches_of_another_size_meet_at_the_same_epoch():
    finished = [[Evaluation(0.5, 0.9), Evaluation(1, 0.1)]] * MIN_FINISHED
    assert why_prune([Evaluation(0.5 - 1e-9, 0.8)], finished, METRIC) is not None
    assert why_prune([Evaluation(1, 0.8)], finished, METRIC) is None


@pytest.mark.parametrize("rows", [[], [0.5, None, 0.75]])
def test_the_curve_is_read_from_the_history(tmp_path, rows):
    assert read_curve(tmp_path, METRIC) == []  # before the first step
    lines = [",".join((*STEP_COLUMNS, METRIC))]
    for step, value in enumerate(rows, start=1):
        cells = [str(step), str(step / 2), *["1"] * (len(STEP_COLUMNS) - 2)]
        lines.append(",".join([*cells, "" if value is None else str(value)]))
    (tmp_path / "history.csv").write_text("\n".join([*lines, "7,3.5,0.1"]))  # the last one is torn
    assert read_curve(tmp_path, METRIC) == [
        Evaluation(step / 2, value) for step, value in enumerate(rows, start=1) if value is not None
    ]
    assert read_curve(tmp_path, "validation/f1/red") == []  # not every metric has a column
