"""Which seed is the best on validation, and what is said of it."""

from __future__ import annotations

import math

import pytest

from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.choosing import best_by_validation, describe_best, validation_loss
from kerasft.studies.series import Finished

PEARSON = "validation/pearson"


def finished_of(values, metric=PEARSON, monitor="auto", losses=None):
    runs = []
    for index, value in enumerate(values):
        recipe = load_recipe("glue_stsb", {"training.monitor": monitor, "training.seed": index + 1})
        metrics = {metric: value}
        if losses:
            metrics["validation/mean_squared_error"] = losses[index]
        result = {"metrics": metrics, "task": {"headline": "pearson"}}
        runs.append(Finished(recipe, RunDir(f"run {index}"), result))
    return runs


@pytest.mark.parametrize(
    ("metric", "monitor", "values", "best"),
    [
        (PEARSON, "auto", [0.3, 0.8, 0.5], 1),
        (PEARSON, "auto", [0.8, 0.8, 0.5], 0),
        (PEARSON, "auto", [None, -0.4, math.nan], 1),
        (PEARSON, "auto", [-0.4, None, math.nan], 0),
        (PEARSON, "auto", [None, math.nan], 0),
        (PEARSON, "auto", [math.nan, 0.2, 0.3, math.nan], 2),
        ("validation/log_loss", "validation/log_loss", [0.3, 0.8, 0.1], 2),
        ("validation/log_loss", "validation/log_loss", [math.nan, 0.8, None], 1),
        ("validation/accuracy", "validation/accuracy", [0.3, 0.8, 0.1], 1),
    ],
)
def test_the_best_seed_is_that_of_the_monitored_metric(metric, monitor, values, best):
    runs = finished_of(values, metric, monitor)
    assert best_by_validation(runs) is runs[best]


@pytest.mark.parametrize(
    ("values", "losses", "best"),
    [
        ([0.8, 0.8, 0.5], [0.4, 0.3, 0.1], 1),
        ([0.8, 0.8, 0.8], [0.4, 0.3, 0.3], 1),
        ([0.8, 0.8, 0.5], [None, 0.3, 0.1], 1),
        ([0.8, 0.8, 0.5], [0.4, math.nan, 0.1], 0),
        ([None, math.nan], [0.4, 0.3], 1),
    ],
)
def test_ties_go_to_the_lower_loss_then_to_the_earlier_seed(values, losses, best):
    runs = finished_of(values, losses=losses)
    assert best_by_validation(runs) is runs[best]


@pytest.mark.parametrize(
    ("values", "losses", "said"),
    [
        ([0.3, 0.8], None, "STS-B: seed 2 is the best on validation."),
        ([0.8, 0.8, 0.1], None, "seeds 1, 2 are equal on validation; seed 1 is the first of them."),
        ([0.8, 0.8], [0.4, 0.3], "equal on validation; seed 2 has the lowest loss there."),
        ([None, math.nan], None, f"{PEARSON} is undefined for every seed, so none is the best on"),
    ],
)
def test_what_is_said_of_the_choice_is_true(values, losses, said):
    runs = finished_of(values, losses=losses)
    assert said in describe_best("STS-B", runs, best_by_validation(runs))


def test_a_run_without_the_metric_is_a_bug():
    runs = finished_of([0.5], "test/pearson")
    with pytest.raises(ValueError, match=r"has no validation/pearson: \['test/pearson'\]"):
        best_by_validation(runs)


def test_the_loss_is_that_of_the_task_and_defined():
    (run,) = finished_of([0.5], losses=[0.25])
    assert validation_loss(run) == 0.25
    (run,) = finished_of([0.5], losses=[math.nan])
    assert validation_loss(run) is None
