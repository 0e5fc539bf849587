"""Finalists, the winner, and what may be said of it."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest
from scipy import stats

from kerasft.metrics.spread import interval_of_mean, spread
from kerasft.studies.tuning.finals import (
    Tried,
    best_run,
    choose_finalists,
    choose_winner,
    conclude,
    conclude_without_finals,
)
from kerasft.studies.tuning.journal import JobResult

METRIC, LOSS = "validation/accuracy", "validation/log_loss"


def tried(job, value, status="completed", epochs=None, **values):
    return Tried(job, values or {"x": job}, (JobResult(status, value, 1.0),), epochs)


def finalist(job, *values, losses=None):
    losses = losses or [None] * len(values)
    outcomes = [
        JobResult("completed", value, 1.0, METRIC, f"{job}-{index}", loss=loss)
        for index, (value, loss) in enumerate(zip(values, losses, strict=True))
    ]
    return Tried(job, {}, tuple(outcomes))


def names(found):
    return [each.job for each in found]


TRIED = [
    tried("baseline", 0.99),
    tried("a", 0.7),
    tried("b", 0.9, "pruned"),
    tried("c", 0.8),
    tried("d", None, "failed"),
    tried("e", 0.6),
]


def test_finalists_are_the_best_that_came_to_their_end():
    assert names(choose_finalists(TRIED, 2, METRIC)) == ["c", "a"]
    assert names(choose_finalists(TRIED, 9, LOSS)) == ["e", "a", "c"]
    assert choose_finalists(TRIED[:1], 9, METRIC) == []


def test_equal_settings_are_one_finalist_and_longer_training_comes_first():
    rungs = [
        tried("a", 0.9, epochs=1, x=1),
        tried("b", 0.8, epochs=3, x=1),
        tried("c", 0.95, epochs=1),
    ]
    assert names(choose_finalists(rungs, 3, METRIC)) == ["b", "c"]


def test_the_winner_has_the_best_mean_and_all_of_its_seeds():
    several = [finalist("a", 0.7, 0.9), finalist("b", 0.82, 0.8), finalist("c", 1.0, None)]
    assert choose_winner(several, METRIC).job == "b"
    assert choose_winner(several, LOSS).job == "a"
    assert choose_winner(several[2:], METRIC) is None


def test_the_run_that_is_tested_is_the_best_on_validation():
    assert best_run(finalist("a", 0.7, 0.9, 0.8), METRIC) == "a-1"
    assert best_run(finalist("a", 0.7, 0.9, 0.8), LOSS) == "a-0"


def test_the_interval_is_students():
    figure = spread([0.1, 0.2, 0.4])
    expected = stats.t.interval(0.95, 2, loc=figure.mean, scale=stats.sem([0.1, 0.2, 0.4]))
    assert interval_of_mean(figure) == pytest.approx(expected)


BASELINE = finalist("baseline", 0.80, 0.81, 0.79)
BOTH = (BASELINE, finalist("a", 0.9, 0.7, 0.85))
GOOD, LOW = finalist("a", 0.90, 0.92, 0.89), finalist("a", 0.20, 0.21, 0.19)
ONE, FAILED = finalist("a", 0.9), finalist("baseline", 0.8, math.nan, 0.8)
AHEAD = r"The search beats the recipe. a is ahead of the recipe as it is by "
EQUAL = r"The search does not beat the recipe as it is: .*0.8000 ± 0.0100 over 3 new seeds"
NOT_COMPARED = "^The recipe as it is could not be compared: nothing is concluded.$"


@pytest.mark.parametrize(
    ("winner", "finalists", "metric", "expected"),
    [
        (GOOD, BOTH, METRIC, rf"{AHEAD}\+0.1033"),
        (BOTH[1], BOTH, METRIC, r"a is ahead.*by \+0.0167.*not shown to beat the recipe"),
        (BASELINE, BOTH, METRIC, EQUAL),
        (None, BOTH, METRIC, r"nothing is concluded"),
        (LOW, (BASELINE, LOW), LOSS, rf"^{AHEAD}\+0.6"),
        (ONE, (finalist("baseline", 0.8), ONE), METRIC, "One seed does not tell"),
        (GOOD, (FAILED, GOOD), METRIC, NOT_COMPARED),
    ],
)
def test_what_is_concluded(winner, finalists, metric, expected):
    said = conclude(winner, finalists, metric)
    assert re.search(expected, said), said


def test_without_finals_nothing_is_concluded():
    said = conclude_without_finals(TRIED[3], TRIED[1], METRIC)
    assert said.startswith("c is ahead of the recipe as it is by 0.1000")
    assert said.endswith("nothing is concluded.")
    none = conclude_without_finals(None, TRIED[1], METRIC)
    assert none == "No trial came to its end: the recipe as it is has validation/accuracy 0.7000."


def test_an_undefined_figure_never_wins():
    several = [tried("a", math.nan), tried("b", 0.1), tried("c", None), tried("d", 0.2)]
    assert names(choose_finalists(several, 4, METRIC)) == ["d", "b"]
    assert names(choose_finalists(several, 4, LOSS)) == ["b", "d"]
    for metric in (METRIC, LOSS):
        assert best_run(finalist("a", math.nan, 0.5, math.nan), metric) == "a-1"
        assert best_run(finalist("a", math.nan), metric) is None
        undefined = finalist("a", math.nan, 0.9)
        chosen = choose_winner([undefined, finalist("b", 0.1, 0.1)], metric)
        assert chosen.job == "b"


def test_ties_go_to_the_lower_loss_then_to_the_earlier_one():
    several = [tried("a", 0.8), tried("b", 0.8), tried("c", 0.8), tried("d", 0.9)]
    losses = {"a": None, "b": 0.4, "c": 0.3, "d": 0.9}
    several = [
        dataclasses.replace(t, outcomes=(dataclasses.replace(t.outcome, loss=losses[t.job]),))
        for t in several
    ]
    assert names(choose_finalists(several, 4, METRIC)) == ["d", "c", "b", "a"]
    pair = [finalist("a", 0.8, 0.9, losses=(0.3, 0.4)), finalist("b", 0.9, 0.8, losses=(0.3, 0.2))]
    assert choose_winner(pair, METRIC).job == "b"
    assert choose_winner([finalist("a", 0.8), finalist("b", 0.8)], LOSS).job == "a"
    seeds = finalist("a", 0.8, 0.8, 0.8, 0.8, losses=(0.3, 0.2, 0.2, None))
    assert best_run(seeds, METRIC) == "a-1"
    assert best_run(finalist("a", 0.8, 0.8), METRIC) == "a-0"


def test_a_finalist_that_failed_with_a_seed_is_not_said_to_be_beaten():
    failed = finalist("a", 0.9, math.nan, 0.9)
    said = conclude(BASELINE, (BASELINE, failed), METRIC)
    assert said == "No finalist came to its end with every seed: nothing is concluded."
    others = (BASELINE, failed, finalist("b", 0.1, 0.1, 0.1))
    said = conclude(BASELINE, others, METRIC)
    assert said.startswith("The search does not beat the recipe as it is")
    assert said.endswith("no finalist has more. Not compared, since a seed failed: a.")


def test_a_winner_by_the_loss_alone_is_not_said_to_be_ahead():
    equal = finalist("a", 0.79, 0.80, 0.81, losses=(0.1, 0.1, 0.1))
    said = conclude(equal, (BASELINE, equal), METRIC)
    assert said.startswith("a equals the recipe as it is, validation/accuracy 0.8000 ± 0.0100")
    assert "ahead" not in said


@pytest.mark.parametrize(
    ("value", "metric", "said"),
    [
        (0.6, METRIC, "a is behind the recipe as it is by 0.1000"),
        (0.6, LOSS, "a is ahead of the recipe as it is by 0.1000"),
        (0.7, METRIC, "a is level with the recipe as it is: "),
    ],
)
def test_without_finals_the_order_is_told_as_it_is(value, metric, said):
    found = conclude_without_finals(tried("a", value), TRIED[1], metric)
    assert found.startswith(said)
