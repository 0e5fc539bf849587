"""Which metrics are better when they are lower: each metric against better and worse answers."""

import numpy as np
import pytest

from kerasft.metrics.classification import classification_metrics
from kerasft.metrics.facts import LOWER_IS_BETTER
from kerasft.metrics.multilabel import multilabel_metrics
from kerasft.metrics.regression import regression_metrics


def of_classes(noise):
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=400)
    right = np.eye(3)[labels]
    wrong = np.eye(3)[generator.integers(3, size=400)]
    is_wrong = generator.random(400) < noise
    probabilities = 0.02 + 0.94 * np.where(is_wrong[:, np.newaxis], wrong, right)
    return classification_metrics(labels, probabilities, ["a", "b", "c"])


def of_label_sets(noise):
    generator = np.random.default_rng(0)
    labels = generator.random((400, 3)) < 0.4
    flipped = labels ^ (generator.random((400, 3)) < noise)
    scores = 0.1 + 0.8 * flipped
    return multilabel_metrics(labels, scores, flipped, ["a", "b", "c"])


def of_numbers(noise):
    generator = np.random.default_rng(0)
    labels = generator.random(400)
    return regression_metrics(labels, labels + noise * generator.normal(size=400))


@pytest.mark.parametrize("metrics_with", [of_classes, of_label_sets, of_numbers])
def test_lower_is_better_of_the_named_and_of_no_others(metrics_with):
    good, bad = metrics_with(0.1), metrics_with(0.6)
    lower = {name for name in good if "support" not in name and good[name] < bad[name]}
    assert lower == {name for name in good if name.endswith(LOWER_IS_BETTER)}
    assert lower


def test_every_name_is_a_metric():
    names = {name for made in (of_classes, of_label_sets, of_numbers) for name in made(0.1)}
    assert set(LOWER_IS_BETTER) <= names
