"""The learning curve's figures, and what they are said to mean."""

from __future__ import annotations

import csv
import math
import re

import pytest

from kerasft.metrics.spread import spread
from kerasft.studies.learning_curve.curve import Curve, Point

ACCURACY = "test/accuracy"


def point(size, *values):
    seeds = tuple(range(1, len(values) + 1))
    return Point(
        size, spread(values), spread([10.0] * len(values)), seeds, ("runs/a",) * len(seeds)
    )


def curve(*points, metric=ACCURACY):
    return Curve("imdb_quick", metric, points, ("A note.",))


def conclude(before, last, metric=ACCURACY):
    points = point(100, *before), point(1000, *before), point(4000, *last)
    return curve(*points, metric=metric).conclude()


def test_a_clear_gain_is_told_and_not_carried_on():
    text = conclude([0.70, 0.71, 0.72], [0.80, 0.812, 0.818])
    assert text.startswith("From 1,000 to 4,000 examples test/accuracy changed by +0.1000 (95 % ")
    # Student's t of two degrees of freedom: 4.303 * 0.002 / sqrt(3).
    assert "interval over 3 seeds: +0.0950 to +0.1050), +0.0500 a doubling: more examples" in text
    assert "What 8,000 would bring was not measured" in text


HIGH, LOW = [0.8, 0.81, 0.82], [0.7, 0.712, 0.718]
LESS_LOSS = r"-0.1050 to -0.0950\), -0.0500 a doubling: more examples still helped\."
LOSS = "test/mean_squared_error"
WITHIN = (
    r"changed by \+0.0167 \(95 % interval over 3 seeds: -0.0350 to \+0.0684\): these"
    r".* do not tell whether more examples would help\.$"
)
ONE_SEED = r"by \+0.1000\. One seed does not tell.*nothing is concluded: --seeds 3 would tell more"


@pytest.mark.parametrize(
    ("before", "last", "metric", "said"),
    [
        # A gain within what the seeds differ tells nothing.
        ([0.7, 0.71, 0.72], [0.74, 0.71, 0.73], ACCURACY, WITHIN),
        # Seeds that differ among themselves, but all of which gain alike, and the control.
        ([0.6, 0.7, 0.8], [0.65, 0.751, 0.849], ACCURACY, "more examples still helped"),
        ([0.6, 0.7, 0.8], [0.849, 0.751, 0.65], ACCURACY, "do not tell"),
        # Two seeds that agree tell less than three.
        ([0.5, 0.5], [0.53, 0.55], ACCURACY, "do not tell"),
        ([0.5, 0.5, 0.5], [0.53, 0.55, 0.54], ACCURACY, "still helped"),
        ([0.5, 0.5], [0.5, 0.5], ACCURACY, "do not tell"),
        (HIGH, LOW, ACCURACY, r"-0.1050 to -0.0950\): more examples did harm\."),
        (HIGH, LOW, LOSS, LESS_LOSS),
        (LOW, HIGH, LOSS, "more examples did harm"),
        ([0.7], [0.8], ACCURACY, ONE_SEED),
        ([0.7, None], [0.8, 0.8], ACCURACY, "undefined for a seed: nothing is concluded"),
    ],
)
def test_what_is_concluded(before, last, metric, said):
    assert re.search(said, conclude(before, last, metric))


def test_the_table_has_a_row_each_size():
    text = curve(point(100, 0.5, 0.7), point(300, None, 0.8), point(1000, 0.9)).to_csv()
    first, second, third = csv.DictReader(text.splitlines())
    figures = [ACCURACY, f"{ACCURACY}_std"]
    assert list(first) == ["train_examples", *figures, "seeds", "training_seconds"]
    assert float(first["test/accuracy"]) == pytest.approx(0.6)
    assert float(first["test/accuracy_std"]) == pytest.approx(math.sqrt(0.02))
    counts = [first[name] for name in ("train_examples", "seeds", "training_seconds")]
    assert counts == ["100", "2", "10"]
    assert (second["test/accuracy"], second["test/accuracy_std"]) == ("", "")
    assert (third["test/accuracy"], third["test/accuracy_std"]) == ("0.9", "")
    assert text.endswith("\n")


def test_as_plain_data():
    found = curve(point(100, 0.5, 0.7), point(300, 0.75, 0.8)).to_json()
    assert (found["recipe"], found["metric"], found["notes"]) == (
        "imdb_quick",
        "test/accuracy",
        ("A note.",),
    )
    assert [p["train_examples"] for p in found["points"]] == [100, 300]
    assert found["points"][1]["values"] == (0.75, 0.8)
    assert found["points"][1]["training_seconds"] == 10.0
    assert found["conclusion"].startswith("From 100 to 300 examples")
