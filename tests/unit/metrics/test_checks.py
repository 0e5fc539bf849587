"""Bad labels and probabilities are refused, each by a message that says what was found."""

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.metrics.checks import (
    check_label_names,
    check_label_sets,
    check_labels,
    check_numbers,
    check_predictions,
    check_probabilities,
)

GOOD = [[0.9, 0.1], [0.2, 0.8]]


def test_good_input_passes_unchanged():
    labels, probabilities = check_predictions([0, 1], np.float32(GOOD))
    assert labels.dtype == np.int64
    assert labels.tolist() == [0, 1]
    assert probabilities.dtype == np.float64
    np.testing.assert_array_equal(probabilities, np.float32(GOOD))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], r"labels is empty\. Received: \(0,\)\. Expected: at least one example"),
        ([0, -1, -1], r"2 of 3 labels name no class; the first is example 1\. Received: -1\."),
        ([0, 1, 2], r"the first is example 2\. Received: 2\. Expected: 0 to 1"),
    ],
)
def test_labels_that_data_can_cause_are_user_errors(labels, message):
    with pytest.raises(UserError, match=message):
        check_labels(labels, num_classes=2)


def test_unsigned_labels_out_of_range_do_not_wrap_around():
    with pytest.raises(UserError, match="Received: 255"):
        check_labels(np.uint8([0, 255]), num_classes=2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.0, 1.0], r"Received: float64 of shape \(2,\)\. Expected: integers"),
        ([[0], [1]], r"Received: int64 of shape \(2, 1\)"),
        ([True, False], "Received: bool"),
    ],
)
def test_labels_that_only_code_can_cause_are_value_errors(labels, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_labels(labels, num_classes=2)
    assert not isinstance(caught.value, UserError)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_probabilities_that_are_not_finite_are_a_user_error(bad):
    with pytest.raises(UserError, match=r"1 of 2 probability rows .* the first is example 1") as e:
        check_probabilities([[0.5, 0.5], [bad, 0.5]])
    assert "diverged" in str(e.value)


def test_no_probabilities_are_a_user_error():
    with pytest.raises(UserError, match="probabilities is empty"):
        check_probabilities(np.empty((0, 2)))


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([0.5, 0.5], r"Received: \(2,\)\. Expected: \(num_examples, num_classes\)"),
        ([[1.0], [1.0]], "at least two classes"),
        ([[0.9, 0.1], [2.0, -1.0]], r"first is example 1\. Received: \[2\.0, -1\.0\]"),
        ([[0.6, 0.6], [0.5, 0.5]], r"1 rows .* summing to 1\.2\. Expected: .* not logits"),
    ],
)
def test_probabilities_that_are_no_distributions_are_value_errors(probabilities, message):
    with pytest.raises(ValueError, match=message):
        check_probabilities(probabilities)


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="Received: 3 labels, 2 rows"):
        check_predictions([0, 1, 1], GOOD)


def test_good_numbers_and_label_sets_pass_unchanged():
    numbers = check_numbers(np.float32([0.5, 4]))
    assert (numbers.dtype, numbers.tolist()) == (np.float64, [0.5, 4.0])
    labels, scores = check_label_sets(np.uint8([[1, 0], [0, 0]]), np.float32(GOOD))
    assert (labels.dtype, labels.tolist()) == (bool, [[True, False], [False, False]])
    np.testing.assert_array_equal(scores, np.float32(GOOD))


@pytest.mark.parametrize(
    ("numbers", "name", "message"),
    [
        ([], "labels", "labels is empty"),
        ([1, np.nan], "labels", r"1 of 2 labels are not finite; the first is example 1.*hidden"),
        ([np.inf, 1], "predictions", r"1 of 2 predictions are not finite.*example 0.*diverged"),
    ],
)
def test_numbers_that_data_or_training_can_cause_are_user_errors(numbers, name, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        check_numbers(numbers, name)


def test_numbers_of_another_shape():
    with pytest.raises(ValueError, match=r"Received: \(2, 1\)\. Expected: \(num_examples,\)"):
        check_numbers([[1.0], [2.0]])


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([[1, 0]], [[0.5]], r"Received: shapes \(1, 2\) and \(1, 1\)"),
        ([1, 0], [0.5, 0.5], r"Received: shapes \(2,\) and \(2,\)"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "one column a label"),
        ([[2, 0]], [[0.5, 0.5]], r"zeros and ones\. Received: \[0, 2\]"),
        ([[1, 0]], [[3.5, -2]], r"no probabilities\. Received: -2 to 3\.5.*not logits"),
    ],
)
def test_label_sets_that_do_not_fit(labels, scores, message):
    with pytest.raises(ValueError, match=message):
        check_label_sets(labels, scores)


def test_label_sets_that_data_or_training_can_cause_are_user_errors():
    with pytest.raises(UserError, match="labels is empty"):
        check_label_sets(np.empty((0, 2)), np.empty((0, 2)))
    with pytest.raises(UserError, match="1 of 2 scores are not finite; the first is example 1"):
        check_label_sets([[1, 0], [1, 1]], [[0.5, 0.5], [0.5, np.nan]])


def test_label_names_must_fit_and_differ():
    check_label_names(["a", "b"], 2)
    with pytest.raises(ValueError, match="Received: 1 names for 2 classes"):
        check_label_names(["a"], 2)
    with pytest.raises(UserError, match=r"same name\. Received: \['a'\]"):
        check_label_names(["a", "a"], 2)
