"""ECE against a case worked by hand, an independent computation, and variants that must differ."""

import numpy as np
import pytest

from kerasft.metrics.calibration import expected_calibration_error, reliability_bins

# Nine binary predictions: probability of class 1, and the truth.
POSITIVE = np.array([0.22, 0.64, 0.92, 0.42, 0.51, 0.15, 0.70, 0.37, 0.83])
LABELS = np.array([0, 1, 0, 0, 0, 0, 1, 1, 1])
PROBABILITIES = np.stack([1 - POSITIVE, POSITIVE], axis=1)


def random_predictions(num_examples=5000, num_classes=4, seed=3):
    generator = np.random.default_rng(seed)
    labels = generator.integers(num_classes, size=num_examples)
    logits = generator.normal(size=(num_examples, num_classes))
    logits[np.arange(num_examples), labels] += 1
    exponentials = np.exp(2 * logits)
    return labels, exponentials / exponentials.sum(axis=1, keepdims=True)


def brute_force(confidence, is_correct, num_bins):
    """Guo et al. 2017, equation 3, written out one bin after another."""
    total = 0.0
    for m in range(1, num_bins + 1):
        inside = [i for i, c in enumerate(confidence) if (m - 1) / num_bins < c <= m / num_bins]
        if inside:
            gap = abs(np.mean(is_correct[inside]) - np.mean(confidence[inside]))
            total += len(inside) / len(confidence) * gap
    return total


def test_hand_worked_case():
    # Confidence (right?): 0.58 yes, 0.51 no | 0.78 yes, 0.64 yes, 0.70 yes, 0.63 no |
    # 0.92 no, 0.85 yes, 0.83 yes. Gaps: 0.545 - 1/2, 3/4 - 0.6875, 2.6/3 - 2/3.
    by_hand = (2 * 0.045 + 4 * 0.0625 + 3 * 0.2) / 9
    assert by_hand == pytest.approx(0.94 / 9)
    assert expected_calibration_error(LABELS, PROBABILITIES, num_bins=5) == pytest.approx(by_hand)


def test_hand_worked_bins():
    bins = reliability_bins(LABELS, PROBABILITIES, num_bins=5)
    assert [b.num_examples for b in bins] == [0, 0, 2, 4, 3]
    assert [b.accuracy for b in bins] == [None, None, 0.5, 0.75, pytest.approx(2 / 3)]
    assert bins[0].confidence is None
    assert bins[3].confidence == pytest.approx(0.6875)
    assert [(b.lower, b.upper) for b in bins[3:]] == [(0.6, 0.8), (0.8, 1.0)]


@pytest.mark.parametrize("num_bins", [1, 7, 15])
def test_equals_the_paper_written_out_and_a_histogram(num_bins):
    labels, probabilities = random_predictions()
    confidence = probabilities.max(axis=1)
    is_correct = probabilities.argmax(axis=1) == labels
    ours = expected_calibration_error(labels, probabilities, num_bins)
    assert ours == pytest.approx(brute_force(confidence, is_correct, num_bins), abs=1e-12)
    # |sum of correct - sum of confidence| a bin, over N: the counts cancel.
    surplus, _ = np.histogram(confidence, num_bins, (0, 1), weights=is_correct - confidence)
    assert ours == pytest.approx(np.abs(surplus).sum() / len(labels), abs=1e-12)


def test_published_figure():
    # M. Pavlovic, "Expected Calibration Error (ECE): A Step-by-Step Visual Explanation", 2023:
    # nine confidences, three bins, 0.23778. Ten classes let the predicted one have so little.
    confidence = np.array([0.22, 0.64, 0.92, 0.42, 0.51, 0.15, 0.70, 0.37, 0.83])
    is_correct = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1])
    probabilities = np.repeat((1 - confidence)[:, None] / 9, 10, axis=1)
    probabilities[:, 0] = confidence
    ours = expected_calibration_error(1 - is_correct, probabilities, num_bins=3)
    assert ours == pytest.approx(0.23778, abs=5e-6)


def test_control_other_definitions_give_other_values():
    ours = expected_calibration_error(LABELS, PROBABILITIES, num_bins=5)
    confidence = PROBABILITIES.max(axis=1)
    is_correct = PROBABILITIES.argmax(axis=1) == LABELS
    parts = np.array_split(np.argsort(confidence), 5)
    of_equal_size = sum(abs((is_correct - confidence)[part].sum()) for part in parts) / 9
    of_positive_class = brute_force(POSITIVE, LABELS, 5)
    of_unweighted_bins = np.mean([0.045, 0.0625, 0.2])
    for wrong in (of_equal_size, of_positive_class, of_unweighted_bins):
        assert abs(ours - wrong) > 1e-3, wrong


@pytest.mark.parametrize("confidence", [0.6, 0.7, 0.8, 0.9, 1.0])
def test_a_confidence_on_an_edge_belongs_to_the_bin_below(confidence):
    bins = reliability_bins([0], [[confidence, 1 - confidence]], num_bins=10)
    (found,) = [b for b in bins if b.num_examples]
    assert found.upper == confidence


def test_confidence_just_above_one_is_in_the_last_bin():
    bins = reliability_bins([0], [[1 + 5e-5, 0.0]], num_bins=10)
    assert bins[-1].num_examples == 1


def test_perfectly_calibrated_and_perfectly_wrong():
    probabilities = [[0.75, 0.25]] * 4
    assert expected_calibration_error([0, 0, 0, 1], probabilities) == pytest.approx(0)
    assert expected_calibration_error([1, 1, 1, 1], [[1.0, 0.0]] * 4) == pytest.approx(1)


def test_values_are_plain_python():
    bins = reliability_bins(LABELS, np.float32(PROBABILITIES))
    assert {type(value) for b in bins for value in b} == {float, int, type(None)}
    assert type(expected_calibration_error(LABELS, np.float32(PROBABILITIES))) is float


def test_too_few_bins():
    with pytest.raises(ValueError, match=r"`num_bins` is too small\. Received: 0"):
        reliability_bins(LABELS, PROBABILITIES, num_bins=0)
