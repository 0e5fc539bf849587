"""The learning curve's figures, and what they are said to mean."""

from __future__ import annotations

import csv
import math

import pytest

from kerasft.metrics.spread import spread
from kerasft.studies.learning_curve.curve import Curve, Point


def point(size, *values):
    seeds = tuple(range(1, len(values) + 1))
    return Point(
        size, spread(values), spread([10.0] * len(values)), seeds, ("runs/a",) * len(seeds)
    )


def curve(*points, metric="test/accuracy"):
    return Curve("imdb_quick", metric, points, ("A note.",))


def conclude(before, last, metric="test/accuracy"):
    points = point(100, *before), point(1000, *before), point(4000, *last)
    return curve(*points, metric=metric).conclude()


def test_a_clear_gain_is_told_and_not_carried_on():
    text = conclude([0.70, 0.71, 0.72], [0.80, 0.812, 0.818])
    assert text.startswith("From 1,000 to 4,000 examples test/accuracy changed by +0.1000 (95 % ")
    # Student's t of two degrees of freedom: 4.303 * 0.002 / sqrt(3).
    assert "interval over 3 seeds: +0.0950 to +0.1050), +0.0500 a doubling: more examples" in text
    assert "What 8,000 would bring was not measured" in text


def test_a_gain_within_what_the_seeds_differ_tells_nothing():
    text = conclude([0.70, 0.71, 0.72], [0.74, 0.71, 0.73])
    assert "changed by +0.0167 (95 % interval over 3 seeds: -0.0350 to +0.0684): these" in text
    assert text.endswith("do not tell whether more examples would help.")


def test_the_gain_is_taken_seed_by_seed():
    """Seeds that differ among themselves, but all of which gain alike: the gain is clear."""
    before, last = [0.60, 0.70, 0.80], [0.65, 0.751, 0.849]
    assert "more examples still helped" in conclude(before, last)
    assert "do not tell" in conclude(before, last[::-1])


def test_two_seeds_that_agree_tell_less_than_three():
    assert "do not tell" in conclude([0.5, 0.5], [0.53, 0.55])
    assert "still helped" in conclude([0.5, 0.5, 0.5], [0.53, 0.55, 0.54])


def test_a_loss_is_told():
    text = conclude([0.8, 0.81, 0.82], [0.7, 0.712, 0.718])
    assert "-0.1050 to -0.0950): more examples did harm." in text


def test_less_of_a_loss_is_a_gain():
    high, low = [0.8, 0.81, 0.82], [0.7, 0.712, 0.718]
    text = conclude(high, low, metric="test/mean_squared_error")
    assert "-0.1050 to -0.0950), -0.0500 a doubling: more examples still helped." in text
    assert "more examples did harm" in conclude(low, high, metric="test/mean_squared_error")


def test_no_change_at_all_tells_nothing():
    assert "do not tell" in conclude([0.5, 0.5], [0.5, 0.5])


def test_one_seed_concludes_nothing():
    text = conclude([0.7], [0.8])
    assert "changed by +0.1000. One seed does not tell" in text
    assert "nothing is concluded: --seeds 3 would tell more" in text


def test_an_undefined_figure_concludes_nothing():
    assert "undefined for a seed: nothing is concluded" in conclude([0.7, None], [0.8, 0.8])


def test_the_table_has_a_row_each_size():
    text = curve(point(100, 0.5, 0.7), point(300, None, 0.8), point(1000, 0.9)).to_csv()
    first, second, third = csv.DictReader(text.splitlines())
    assert list(first) == [
        "train_examples",
        "test/accuracy",
        "test/accuracy_std",
        "seeds",
        "training_seconds",
    ]
    assert float(first["test/accuracy"]) == pytest.approx(0.6)
    assert float(first["test/accuracy_std"]) == pytest.approx(math.sqrt(0.02))
    assert (first["train_examples"], first["seeds"], first["training_seconds"]) == (
        "100",
        "2",
        "10",
    )
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
