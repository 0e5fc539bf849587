"""Classification metrics against hand counts and scikit-learn's own averages; missing classes."""

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from kerasft.errors import UserError
from kerasft.metrics.calibration import expected_calibration_error
from kerasft.metrics.classification import (
    classification_metrics,
    classification_notes,
    confusion,
)

NAMES = ("neg", "pos")
THREE = ("contradiction", "neutral", "entailment")


def random_predictions(num_classes, num_examples=600, seed=0):
    generator = np.random.default_rng(seed)
    labels = generator.integers(num_classes, size=num_examples)
    logits = generator.normal(size=(num_examples, num_classes)).astype(np.float32)
    logits[np.arange(num_examples), labels] += 1
    exponentials = np.exp(logits)
    return labels, exponentials / exponentials.sum(axis=1, keepdims=True)


def one_hot_like(predictions, num_classes, confidence=0.8):
    """Probabilities whose most probable class is the given one."""
    rest = (1 - confidence) / (num_classes - 1)
    probabilities = np.full((len(predictions), num_classes), rest)
    probabilities[np.arange(len(predictions)), predictions] = confidence
    return probabilities


def test_hand_counted_binary_case():
    # pos: 2 true positives, 1 false positive, 1 false negative, and neg alike. Of the 9 pairs
    # (a true pos, a true neg) only 0.3 against 0.7 is ranked wrongly.
    labels = [1, 1, 1, 0, 0, 0]
    positive = np.array([0.9, 0.8, 0.3, 0.7, 0.2, 0.1])
    found = classification_metrics(labels, np.stack([1 - positive, positive], axis=1), NAMES)
    assert found["accuracy"] == pytest.approx(4 / 6)
    for name in ("precision/pos", "recall/pos", "f1/pos", "precision/neg", "f1_macro"):
        assert found[name] == pytest.approx(2 / 3)
    assert found["roc_auc"] == pytest.approx(8 / 9)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.3, 0.3, 0.8, 0.9]).mean())
    assert (found["support/neg"], found["support/pos"]) == (3.0, 3.0)


@pytest.mark.parametrize("num_classes", [2, 3, 7])
def test_equals_scikit_learn_with_its_own_averages(num_classes):
    labels, probabilities = random_predictions(num_classes)
    predictions = probabilities.argmax(axis=1)
    names = [f"class_{index}" for index in range(num_classes)]
    found = classification_metrics(labels, probabilities, names)
    for name in ("precision", "recall", "f1"):
        theirs = getattr(sklearn_metrics, f"{name}_score")(labels, predictions, average="macro")
        assert found[f"{name}_macro"] == pytest.approx(theirs, abs=1e-12)
    matthews = sklearn_metrics.matthews_corrcoef(labels, predictions)
    assert found["matthews_correlation"] == matthews
    in_float64 = probabilities.astype(np.float64)
    in_float64 /= in_float64.sum(axis=1, keepdims=True)
    scores = in_float64[:, 1] if num_classes == 2 else in_float64
    auc = sklearn_metrics.roc_auc_score(labels, scores, multi_class="ovr", average="macro")
    assert found["roc_auc"] == pytest.approx(auc, abs=1e-9)
    of_labels = in_float64[np.arange(len(labels)), labels]
    assert found["log_loss"] == pytest.approx(-np.log(of_labels).mean(), abs=1e-9)
    assert found["expected_calibration_error"] == expected_calibration_error(labels, probabilities)


def test_control_swapped_classes_are_seen():
    labels, probabilities = random_predictions(2)
    found = classification_metrics(labels, probabilities, NAMES)
    swapped = classification_metrics(labels, probabilities[:, ::-1], NAMES)
    assert swapped["roc_auc"] == pytest.approx(1 - found["roc_auc"])
    assert swapped["accuracy"] == pytest.approx(1 - found["accuracy"])
    assert swapped["matthews_correlation"] == pytest.approx(-found["matthews_correlation"])
    assert swapped["log_loss"] > found["log_loss"] + 0.1


def test_calibration_bins_are_passed_on():
    labels, probabilities = random_predictions(2)
    found = classification_metrics(labels, probabilities, NAMES, calibration_bins=4)
    assert found["expected_calibration_error"] == expected_calibration_error(
        labels, probabilities, 4
    )
    assert found != classification_metrics(labels, probabilities, NAMES)


@pytest.mark.parametrize("labels", [[0, 1, 2, 0], [0, 0, 0, 0], [0, 1, 1, 0]])
def test_values_are_floats_and_nan_where_a_class_is_missing(labels):
    found = classification_metrics(labels, one_hot_like([0, 1, 1, 0], 3, confidence=1.0), THREE)
    assert {type(value) for value in found.values()} == {float}
    undefined = {name for name, value in found.items() if not math.isfinite(value)}
    assert ("roc_auc" in undefined) == (len(set(labels)) == 1)
    assert {name for name in undefined if "/" in name} == {
        f"{metric}/{name}"
        for index, name in enumerate(THREE)
        if index not in {*labels, 0, 1}
        for metric in ("precision", "recall", "f1")
    }


def test_the_same_metrics_are_there_whatever_is_missing():
    names = [
        classification_metrics(labels, one_hot_like(predictions, 3), THREE).keys()
        for labels, predictions in (
            ([0, 1, 2], [0, 1, 2]),
            ([1, 1, 1], [1, 1, 1]),
            ([0, 0, 0], [1, 2, 1]),
            ([2], [2]),
        )
    ]
    assert all(found == names[0] for found in names)


def test_a_class_that_is_never_predicted_has_precision_zero():
    labels, probabilities = [0, 0, 1], one_hot_like([0, 0, 0], 2)
    found = classification_metrics(labels, probabilities, NAMES)
    assert (found["precision/pos"], found["recall/pos"], found["f1/pos"]) == (0.0, 0.0, 0.0)
    assert found["precision_macro"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["matthews_correlation"] == 0.0
    assert classification_notes(labels, probabilities, NAMES) == [
        'Never predicted, so precision and F1 are 0: "pos".',
        'All predictions are "neg", so the Matthews correlation is 0.',
    ]


def test_a_class_predicted_without_examples_has_recall_zero():
    labels, probabilities = [0, 1, 1], one_hot_like([0, 1, 2], 3)
    found = classification_metrics(labels, probabilities, THREE)
    assert (found["precision/entailment"], found["recall/entailment"]) == (0.0, 0.0)
    assert found["recall_macro"] == pytest.approx((1 + 0.5 + 0) / 3)
    first, second = classification_notes(labels, probabilities, THREE)
    assert first == 'Predicted without any example, so recall and F1 are 0: "entailment".'
    assert 'ROC-AUC is the mean over the classes that occur: "contradiction", "neutral"' in second


def test_a_class_that_is_nowhere_has_undefined_metrics():
    labels, probabilities = [0, 1, 1, 0], one_hot_like([0, 1, 0, 0], 3)
    found = classification_metrics(labels, probabilities, THREE)
    assert found["support/entailment"] == 0.0
    undefined = ("precision/entailment", "recall/entailment", "f1/entailment")
    assert all(math.isnan(found[name]) for name in undefined)
    assert found["recall_macro"] == pytest.approx((1 + 0.5) / 2)
    one_versus_rest = [
        sklearn_metrics.roc_auc_score(np.equal(labels, index), probabilities[:, index])
        for index in (0, 1)
    ]
    assert found["roc_auc"] == pytest.approx(np.mean(one_versus_rest))
    notes = classification_notes(labels, probabilities, THREE)
    assert any('not in the macro averages: "entailment".' in note for note in notes)


def test_only_one_class_in_labels_and_predictions():
    labels, probabilities = [1, 1], one_hot_like([1, 1], 2)
    found = classification_metrics(labels, probabilities, NAMES)
    assert (found["accuracy"], found["matthews_correlation"]) == (1.0, 0.0)
    notes = classification_notes(labels, probabilities, NAMES)
    assert 'All examples are "pos", so the Matthews correlation is 0.' in notes


@pytest.mark.parametrize("labels", [[1, 1], [1]])
def test_roc_auc_of_one_class_is_undefined(labels):
    probabilities = one_hot_like([1, 0][: len(labels)], 2)
    found = classification_metrics(labels, probabilities, NAMES)
    assert math.isnan(found["roc_auc"])
    assert found["accuracy"] == 1 / len(labels)
    assert 'All examples are "pos", so ROC-AUC is undefined.' in classification_notes(
        labels, probabilities, NAMES
    )


def test_nothing_missing_gives_no_notes():
    assert classification_notes(*random_predictions(3), THREE) == []


def test_a_certain_mistake_has_a_finite_log_loss():
    found = classification_metrics([1, 0], [[1.0, 0.0], [1.0, 0.0]], NAMES)
    assert found["log_loss"] == pytest.approx(36.04 / 2, abs=0.01)


def test_confusion_rows_are_true_and_columns_predicted():
    counts = confusion([0, 0, 0, 1], [0, 1, 1, 1], num_classes=3)
    assert counts.tolist() == [[1, 2, 0], [0, 1, 0], [0, 0, 0]]
    assert np.issubdtype(counts.dtype, np.integer)


def test_bad_input():
    labels, probabilities = random_predictions(3)
    with pytest.raises(ValueError, match="Received: 2 names for 3 classes"):
        classification_metrics(labels, probabilities, NAMES)
    with pytest.raises(UserError, match=r"same name\. Received: \['a'\]"):
        classification_metrics(labels, probabilities, ["a", "a", "b"])
    with pytest.raises(UserError, match="Received: 3"):
        classification_metrics([3, *labels[1:]], probabilities, THREE)
    with pytest.raises(ValueError, match="Received: 599 labels, 600 rows"):
        classification_notes(labels[1:], probabilities, THREE)
    with pytest.raises(UserError, match="1 of 2 predictions name no class"):
        confusion([0, 1], [0, 2], num_classes=2)
    with pytest.raises(ValueError, match="Received: 2 and 3"):
        confusion([0, 1], [0, 1, 1], num_classes=2)
