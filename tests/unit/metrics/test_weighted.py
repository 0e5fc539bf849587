"""Weighted metrics: weights are repetitions, and SciPy and scikit-learn say what comes out."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from kerasft.metrics.weighted import (
    weighted_average_precision,
    weighted_pearson,
    weighted_r2,
    weighted_roc_auc,
    weighted_spearman,
)

GENERATOR = np.random.default_rng(4)
WEIGHTS = GENERATOR.integers(0, 4, size=(6, 80))
NUMBERS = np.round(GENERATOR.uniform(0, 5, 80), 1)  # with ties
PREDICTIONS = np.round(NUMBERS + GENERATOR.normal(size=80), 1)
CLASSES = GENERATOR.integers(3, size=80)
APPLIES = GENERATOR.random(80) < 0.3
SCORES = np.round(0.6 * GENERATOR.random(80) + 0.3 * APPLIES, 2)
PROBABILITIES = GENERATOR.dirichlet(np.ones(3), 80) * 0.8 + np.eye(3)[CLASSES] / 5
TWO = np.stack([1 - SCORES, SCORES], axis=1)


def one_versus_rest(labels, probabilities):
    return np.mean(
        [sklearn_metrics.roc_auc_score(labels == i, probabilities[:, i]) for i in range(3)]
    )


@pytest.mark.parametrize(
    ("build", "first", "second", "reference"),
    [
        (weighted_pearson, NUMBERS, PREDICTIONS, lambda a, b: stats.pearsonr(a, b)[0]),
        (weighted_spearman, NUMBERS, PREDICTIONS, lambda a, b: stats.spearmanr(a, b)[0]),
        (weighted_r2, NUMBERS, PREDICTIONS, sklearn_metrics.r2_score),
        (
            weighted_average_precision,
            APPLIES,
            SCORES,
            sklearn_metrics.average_precision_score,
        ),
        (
            weighted_roc_auc,
            APPLIES.astype(int),
            TWO,
            lambda a, b: sklearn_metrics.roc_auc_score(a, b[:, 1]),
        ),
        (weighted_roc_auc, CLASSES, PROBABILITIES, one_versus_rest),
    ],
    ids=["pearson", "spearman", "r2", "average_precision", "roc_auc", "roc_auc_of_three"],
)
def test_a_weight_is_a_repetition(build, first, second, reference):
    found = build(first, second)(WEIGHTS.astype(np.float64))
    repeated = [
        reference(np.repeat(first, w, axis=0), np.repeat(second, w, axis=0)) for w in WEIGHTS
    ]
    assert found == pytest.approx(repeated, abs=1e-9)
    # Control: without the weights it is another number.
    assert np.abs(found - reference(first, second)).max() > 1e-3


def test_what_is_undefined_on_a_resample_is_nan():
    only_last = np.zeros((1, 80))
    only_last[0, -1] = 5
    for build in (weighted_pearson, weighted_spearman, weighted_r2):
        assert np.isnan(build(NUMBERS, PREDICTIONS)(only_last)).all()
    assert np.isnan(weighted_roc_auc(CLASSES, PROBABILITIES)(only_last)).all()
    assert np.isnan(weighted_roc_auc(APPLIES.astype(int), TWO)(only_last)).all()


def test_equal_numbers_of_any_size_have_no_correlation():
    equal = np.full(80, 1e6 + 0.1)
    for build in (weighted_pearson, weighted_spearman):
        assert np.isnan(build(NUMBERS, equal)(WEIGHTS.astype(float))).all()
        assert np.isfinite(build(NUMBERS * 1e-9, PREDICTIONS + 1e6)(WEIGHTS.astype(float))).all()


def test_a_class_that_was_not_drawn_is_not_in_the_mean():
    weights = (CLASSES != 2).astype(np.float64)[np.newaxis]
    labels, probabilities = CLASSES[CLASSES != 2], PROBABILITIES[CLASSES != 2]
    two = [sklearn_metrics.roc_auc_score(labels == i, probabilities[:, i]) for i in (0, 1)]
    found = weighted_roc_auc(CLASSES, PROBABILITIES)(weights)
    assert found == pytest.approx([np.mean(two)])


def test_average_precision_of_a_label_that_was_not_drawn_is_zero():
    weights = (~APPLIES).astype(np.float64)[np.newaxis]
    assert weighted_average_precision(APPLIES, SCORES)(weights).tolist() == [0.0]
