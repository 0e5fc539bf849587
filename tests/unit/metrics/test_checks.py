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


def test_good_numbers_and_label_sets_pass_unchanged():
    numbers = check_numbers(np.float32([0.5, 4]))
    assert (numbers.dtype, numbers.tolist()) == (np.float64, [0.5, 4.0])
    labels, scores = check_label_sets(np.uint8([[1, 0], [0, 0]]), np.float32(GOOD))
    assert (labels.dtype, labels.tolist()) == (bool, [[True, False], [False, False]])
    np.testing.assert_array_equal(scores, np.float32(GOOD))


FINITE_ROWS = r"1 of 2 probability rows .* the first is example 1.*diverged"


@pytest.mark.parametrize(
    ("check", "arguments", "message"),
    [
        (
            check_labels,
            ([], 2),
            r"labels is empty\. Received: \(0,\)\. Expected: at least one example",
        ),
        (
            check_labels,
            ([0, -1, -1], 2),
            r"2 of 3 labels name no class; the first is example 1\. Received: -1\.",
        ),
        (check_labels, ([0, 1, 2], 2), r"the first is example 2\. Received: 2\. Expected: 0 to 1"),
        (check_labels, (np.uint8([0, 255]), 2), "Received: 255"),  # and do not wrap around
        (check_probabilities, ([[0.5, 0.5], [np.nan, 0.5]],), FINITE_ROWS),
        (check_probabilities, ([[0.5, 0.5], [np.inf, 0.5]],), FINITE_ROWS),
        (check_probabilities, ([[0.5, 0.5], [-np.inf, 0.5]],), FINITE_ROWS),
        (check_probabilities, (np.empty((0, 2)),), "probabilities is empty"),
        (check_numbers, ([], "labels"), "labels is empty"),
        (
            check_numbers,
            ([1, np.nan], "labels"),
            "1 of 2 labels are not finite; the first is example 1.*hidden",
        ),
        (
            check_numbers,
            ([np.inf, 1], "predictions"),
            "1 of 2 predictions are not finite.*example 0.*diverged",
        ),
        (check_label_sets, (np.empty((0, 2)), np.empty((0, 2))), "labels is empty"),
        (
            check_label_sets,
            ([[1, 0], [1, 1]], [[0.5, 0.5], [0.5, np.nan]]),
            "1 of 2 scores are not finite; the first is example 1",
        ),
        (check_label_names, (["a", "a"], 2), r"same name\. Received: \['a'\]"),
    ],
)
def test_what_data_or_training_can_cause_is_a_user_error(check, arguments, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        check(*arguments)


@pytest.mark.parametrize(
    ("check", "arguments", "message"),
    [
        (check_labels, ([0.0, 1.0], 2), r"Received: float64 of shape \(2,\)\. Expected: integers"),
        (check_labels, ([[0], [1]], 2), r"Received: int64 of shape \(2, 1\)"),
        (check_labels, ([True, False], 2), "Received: bool"),
        (
            check_probabilities,
            ([0.5, 0.5],),
            r"Received: \(2,\)\. Expected: \(num_examples, num_classes\)",
        ),
        (check_probabilities, ([[1.0], [1.0]],), "at least two classes"),
        (
            check_probabilities,
            ([[0.9, 0.1], [2.0, -1.0]],),
            r"first is example 1\. Received: \[2\.0, -1\.0\]",
        ),
        (
            check_probabilities,
            ([[0.6, 0.6], [0.5, 0.5]],),
            r"1 rows .* summing to 1\.2\. Expected: .* not logits",
        ),
        (check_predictions, ([0, 1, 1], GOOD), "Received: 3 labels, 2 rows"),
        (check_numbers, ([[1.0], [2.0]],), r"Received: \(2, 1\)\. Expected: \(num_examples,\)"),
        (check_label_sets, ([[1, 0]], [[0.5]]), r"Received: shapes \(1, 2\) and \(1, 1\)"),
        (check_label_sets, ([1, 0], [0.5, 0.5]), r"Received: shapes \(2,\) and \(2,\)"),
        (check_label_sets, (np.zeros((2, 0)), np.zeros((2, 0))), "one column a label"),
        (check_label_sets, ([[2, 0]], [[0.5, 0.5]]), r"zeros and ones\. Received: \[0, 2\]"),
        (
            check_label_sets,
            ([[1, 0]], [[3.5, -2]]),
            r"no probabilities\. Received: -2 to 3\.5.*not logits",
        ),
        (check_label_names, (["a"], 2), "Received: 1 names for 2 classes"),
    ],
)
def test_what_only_code_can_cause_is_a_value_error(check, arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        check(*arguments)
    assert not isinstance(caught.value, UserError)


def test_names_that_fit_and_differ_pass():
    check_label_names(["a", "b"], 2)
