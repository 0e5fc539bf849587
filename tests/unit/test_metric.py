"""The registry of metrics: it knows what the tasks report, and which way is better."""

import math
import re

import numpy as np
import pytest

from kerasft.data.example import LABEL_KINDS
from kerasft.metric import (
    CORRELATION,
    EXPLAINED,
    HEADLINES,
    METRICS,
    MONITORS,
    NATS,
    SHARE,
    find_metric,
    loss_metric,
    lower_is_better,
    merit,
    rank,
    watched_metrics,
)
from kerasft.metrics.classification import classification_metrics
from kerasft.metrics.multilabel import multilabel_metrics
from kerasft.metrics.regression import regression_metrics
from kerasft.tasks.task import build_task

RANGES = {SHARE: (0, 1), CORRELATION: (-1, 1), EXPLAINED: (-math.inf, 1), NATS: (0, math.inf)}
NAMES = ["a", "b", "c"]


def of_classes(noise):
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=400)
    right = np.eye(3)[labels]
    wrong = np.eye(3)[generator.integers(3, size=400)]
    is_wrong = generator.random(400) < noise
    probabilities = 0.02 + 0.94 * np.where(is_wrong[:, np.newaxis], wrong, right)
    return classification_metrics(labels, probabilities, NAMES)


def of_label_sets(noise):
    generator = np.random.default_rng(0)
    labels = generator.random((400, 3)) < 0.4
    flipped = labels ^ (generator.random((400, 3)) < noise)
    scores = 0.1 + 0.8 * flipped
    return multilabel_metrics(labels, scores, flipped, NAMES)


def of_numbers(noise):
    generator = np.random.default_rng(0)
    labels = generator.random(400)
    return regression_metrics(labels, labels + noise * generator.normal(size=400))


MADE = dict(zip(LABEL_KINDS, (of_classes, of_label_sets, of_numbers), strict=True))


@pytest.mark.parametrize("kind", LABEL_KINDS)
class TestEachKindOfLabel:
    def test_has_the_metrics_that_its_task_reports(self, kind):
        reported = {name: find_metric(name) for name in MADE[kind](0.1) if "support/" not in name}
        assert set(reported.values()) == set(METRICS[kind])
        for name, spec in reported.items():
            assert re.fullmatch(f"{spec.name}/.*" if spec.by_label else spec.name, name)

    def test_lower_is_better_of_those_that_fall_with_better_answers(self, kind):
        good, bad = MADE[kind](0.1), MADE[kind](0.6)
        for name in good:
            if "support/" not in name:
                assert lower_is_better(f"test/{name}") == (good[name] < bad[name]), name
                assert merit(name, good[name]) > merit(name, bad[name])

    def test_values_lie_in_the_range_of_their_unit(self, kind):
        for noise in (0.1, 0.6):
            for name, value in MADE[kind](noise).items():
                if "support/" not in name:
                    low, high = RANGES.get(find_metric(name).unit, (0, math.inf))
                    assert low <= value <= high, name

    def test_the_first_is_the_headline_and_one_is_the_loss(self, kind):
        task = build_task(kind, NAMES if kind != "number" else [])
        assert task.headline == METRICS[kind][0].name in HEADLINES
        (loss,) = (spec for spec in METRICS[kind] if spec.is_loss)
        assert loss_metric(MADE[kind](0.1)) == loss.name
        assert not loss.higher_is_better


def test_a_recipe_may_name_what_is_of_all_labels():
    specs = {spec for specs in METRICS.values() for spec in specs}
    assert set(MONITORS) == {"auto"} | {f"validation/{s.name}" for s in specs if not s.by_label}
    assert set(HEADLINES) < {name.removeprefix("validation/") for name in MONITORS}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("f1_macro", "f1_macro"),
        ("validation/f1_macro", "f1_macro"),
        ("test_validation_mismatched/f1/a/b", "f1"),
        ("recall/accuracy", "recall"),
        ("f1", None),
        ("accuracy/a", None),
        ("accuracy_lower", None),
        ("support/accuracy", None),
        ("threshold/f1_macro", None),
        ("loss", None),
    ],
)
def test_find_metric(name, found):
    spec = find_metric(name)
    assert (None if spec is None else spec.name) == found


def test_the_direction_of_what_is_no_metric_is_a_bug():
    with pytest.raises(ValueError, match=r"no such metric\. Received: 'test/perplexity'"):
        lower_is_better("test/perplexity")


@pytest.mark.parametrize(
    ("metric", "best_first"),
    [("validation/accuracy", "dcbaef"), ("validation/mean_squared_error", "cbadef")],
)
def test_rank(metric, best_first):
    found = {
        "a": (0.5, None),
        "b": (0.5, 0.4),
        "c": (0.5, 0.3),
        "d": (0.6, 9.0),
        "e": (math.nan, 0.1),
        "f": (None, math.nan),
    }
    ranked = sorted(found, key=lambda name: rank(metric, *found[name]), reverse=True)
    assert "".join(ranked) == best_first


def test_the_loss_of_a_split():
    names = ["test/log_loss", "validation/mean_squared_error", "log_loss"]
    assert loss_metric(names, "validation/") == "validation/mean_squared_error"
    assert loss_metric(["accuracy"]) is None


@pytest.mark.parametrize(
    ("names", "headline", "watched"),
    [
        (
            {"log_loss", "accuracy", "f1_macro", "roc_auc"},
            None,
            ("accuracy", "f1_macro", "log_loss"),
        ),
        ({"spearman", "pearson", "mean_squared_error", "r2"}, "pearson", None),
        ({"f1_micro", "f1_macro", "log_loss"}, "f1_macro", ("f1_micro", "f1_macro", "log_loss")),
        (["a", "b", "c", "d"], "d", ("d", "a", "b", "c")),
    ],
)
def test_watched_metrics(names, headline, watched):
    expected = watched or ("pearson", "spearman", "mean_squared_error")
    assert watched_metrics(names, headline) == expected


def test_the_monitored_metric_is_watched_once():
    names = ["accuracy", "f1_macro", "log_loss", "roc_auc"]
    usual = ("accuracy", "f1_macro", "log_loss")
    assert watched_metrics(names, monitor="validation/roc_auc") == (*usual, "roc_auc")
    assert watched_metrics(names, "roc_auc", "validation/roc_auc") == ("roc_auc", *usual)
    assert watched_metrics(names, monitor="validation/log_loss") == usual
