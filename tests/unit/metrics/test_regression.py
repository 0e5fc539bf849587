"""Metrics of numbers against SciPy and scikit-learn; what is undefined, in words."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from kerasft.errors import UserError
from kerasft.metrics.regression import regression_metrics, regression_notes


def numbers(num_examples=500, seed=0, ties=False):
    generator = np.random.default_rng(seed)
    labels = generator.uniform(0, 5, num_examples)
    predictions = labels + generator.normal(size=num_examples)
    return (np.round(labels), np.round(predictions)) if ties else (labels, predictions)


@pytest.mark.parametrize("ties", [False, True])
def test_equals_scipy_and_scikit_learn(ties):
    labels, predictions = numbers(ties=ties)
    found = regression_metrics(labels, predictions)
    assert found == {
        "pearson": pytest.approx(stats.pearsonr(predictions, labels)[0], abs=1e-12),
        "spearman": pytest.approx(stats.spearmanr(predictions, labels)[0], abs=1e-12),
        "mean_squared_error": sklearn_metrics.mean_squared_error(labels, predictions),
        "mean_absolute_error": sklearn_metrics.mean_absolute_error(labels, predictions),
        "r2": sklearn_metrics.r2_score(labels, predictions),
    }
    assert {type(value) for value in found.values()} == {float}
    assert regression_notes(labels, predictions) == []


def test_hand_counted_case():
    # Centred labels -1, 0, 1 and predictions -2, 1, 1: 3 / sqrt(2 * 6). Ranks 1, 2.5, 2.5 of the
    # predictions: 1.5 / sqrt(2 * 1.5). Errors -1, 1, 0.
    found = regression_metrics([1, 2, 3], [0, 3, 3])
    assert found["pearson"] == pytest.approx(3 / math.sqrt(12))
    assert found["spearman"] == pytest.approx(1.5 / math.sqrt(3))
    assert found["mean_squared_error"] == pytest.approx(2 / 3)
    assert found["mean_absolute_error"] == pytest.approx(2 / 3)
    assert found["r2"] == pytest.approx(0.0)


def test_control_the_two_correlations_differ_where_the_order_is_kept():
    labels, _ = numbers()
    found = regression_metrics(labels, np.exp(labels))
    assert found["spearman"] == pytest.approx(1.0)
    assert found["pearson"] < 0.95


def test_control_labels_and_predictions_are_told_apart():
    labels, predictions = numbers()
    there, back = regression_metrics(labels, predictions), regression_metrics(predictions, labels)
    assert there["r2"] > back["r2"] + 0.05 or back["r2"] > there["r2"] + 0.05
    assert there["pearson"] == pytest.approx(back["pearson"])


@pytest.mark.parametrize(
    ("labels", "predictions", "sentence"),
    [
        ([1, 2, 3], [2.5, 2.5, 2.5], "All predictions are 2.5, so Pearson and Spearman are undef"),
        ([4, 4, 4], [1, 2, 3], "All labels are 4, so Pearson and Spearman are undefined."),
        ([4, 4], [4, 4], "R2 of equal labels is 1 if every prediction meets them, and else 0."),
    ],
)
def test_equal_numbers_have_no_correlation(labels, predictions, sentence):
    found = regression_metrics(labels, predictions)
    with pytest.warns(stats.ConstantInputWarning):
        assert math.isnan(stats.pearsonr(labels, predictions)[0])  # as the official script has it
    assert math.isnan(found["pearson"])
    assert math.isnan(found["spearman"])
    assert found["r2"] == sklearn_metrics.r2_score(labels, predictions)
    assert any(note.startswith(sentence) for note in regression_notes(labels, predictions))


def test_one_example_has_errors_and_nothing_else():
    found = regression_metrics([1.0], [3.0])
    undefined = {name for name, value in found.items() if math.isnan(value)}
    assert undefined == {"pearson", "spearman", "r2"}
    assert found["mean_squared_error"] == 4.0
    assert regression_notes([1.0], [3.0]) == [
        "There is one example, so Pearson, Spearman and R2 are undefined."
    ]


@pytest.mark.parametrize("labels", [[2.0], [2.0, 2.0], [0.0, 1.0, 2.0]])
@pytest.mark.parametrize("equal", [False, True])
def test_the_same_metrics_are_there_whatever_is_undefined(labels, equal):
    predictions = [1.0] * len(labels) if equal else np.arange(len(labels)) + 0.5
    found = regression_metrics(labels, predictions)
    assert list(found) == [
        "pearson",
        "spearman",
        "mean_squared_error",
        "mean_absolute_error",
        "r2",
    ]
    assert {type(value) for value in found.values()} == {float}


def test_two_examples_and_nearly_equal_numbers_have_values():
    assert regression_metrics([1, 2], [9, 3])["spearman"] == pytest.approx(-1.0)
    nearly = regression_metrics([1, 2, 3], [2, 2 + 4e-16, 2])
    assert abs(nearly["pearson"]) <= 1


def test_bad_input():
    with pytest.raises(ValueError, match="Received: 2 and 3"):
        regression_metrics([1, 2], [1, 2, 3])
    with pytest.raises(UserError, match="1 of 2 labels are not finite"):
        regression_metrics([1, np.nan], [1, 2])
    with pytest.raises(UserError, match="1 of 2 predictions are not finite"):
        regression_notes([1, 2], [1, np.inf])
