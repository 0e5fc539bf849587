"""Single-label classification: decoding, loss and metrics."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.metrics.bootstrap import bootstrap_interval
from kerasft.metrics.weighted import weighted_mean
from kerasft.tasks.classification import Classification
from kerasft.tasks.measuring import measure

LOGITS = np.array([[2.0, 1.0, 0.0], [0.0, 0.0, 3.0], [-1.0, 4.0, 0.5]], "float32")
NAMES = ("neg", "neutral", "pos")


@pytest.fixture
def task():
    return Classification(list(NAMES))


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


class TestDecode:
    @pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
    def test_answer(self, task, wrap):
        answer = wrap(task.decode)(tf.constant(LOGITS))
        assert [label.decode() for label in answer["label"].numpy()] == ["neg", "pos", "neutral"]
        np.testing.assert_allclose(answer["probabilities"], softmax(LOGITS), rtol=1e-6)
        np.testing.assert_allclose(answer["score"], softmax(LOGITS).max(axis=1), rtol=1e-6)
        assert np.array_equal(answer["logits"], LOGITS)
        dtypes = {name: tensor.dtype for name, tensor in answer.items()}
        assert dtypes.pop("label") == tf.string
        assert set(dtypes.values()) == {tf.float32}
        assert tuple(answer) == ("label", "score", "probabilities", "logits")

    def test_no_text_no_answer(self, task):
        answer = task.decode(tf.zeros((0, 3)))
        shapes = {name: tuple(tensor.shape) for name, tensor in answer.items()}
        assert shapes == {"label": (0,), "score": (0,), "probabilities": (0, 3), "logits": (0, 3)}

    def test_extreme_logits_stay_finite(self, task):
        probabilities = task.probabilities(np.array([[1e4, -1e4, 0.0]], "float32"))
        assert probabilities.tolist() == [[1.0, 0.0, 0.0]]

    def test_names_of_any_script(self):
        answer = Classification(["schlecht", "größer"]).decode(tf.constant([[0.0, 1.0]]))
        assert answer["label"].numpy()[0].decode() == "größer"


def test_probabilities_are_those_of_decode(task):
    probabilities = task.probabilities(LOGITS)
    assert isinstance(probabilities, np.ndarray)
    assert np.array_equal(probabilities, task.decode(tf.constant(LOGITS))["probabilities"])


class TestEvaluate:
    def test_counts_right_and_wrong(self, task):
        metrics = task.evaluate(np.array([0, 2, 2]), LOGITS)
        assert metrics["accuracy"] == pytest.approx(2 / 3)
        expected = -np.log(softmax(LOGITS)[np.arange(3), [0, 2, 2]]).mean()
        assert metrics["log_loss"] == pytest.approx(expected, rel=1e-5)
        assert {f"f1/{name}" for name in NAMES} < set(metrics)

    def test_bins_are_passed_on(self, task):
        labels = np.array([0, 2, 2])
        one, many = (
            task.evaluate(labels, LOGITS, calibration_bins=bins)["expected_calibration_error"]
            for bins in (1, 15)
        )
        assert one == pytest.approx(abs(softmax(LOGITS).max(axis=1).mean() - 2 / 3), rel=1e-5)
        assert many != pytest.approx(one)


class TestTraining:
    def test_loss_is_cross_entropy_of_logits(self, task):
        loss = task.build_loss().call(tf.constant([0, 2, 2]), tf.constant(LOGITS))
        expected = -np.log(softmax(LOGITS)[np.arange(3), [0, 2, 2]])
        np.testing.assert_allclose(loss, expected, rtol=1e-5)

    @pytest.mark.parametrize("smoothing", [0.1, 0.5])
    def test_smoothed_loss_is_that_of_smoothed_labels(self, smoothing):
        labels = [0, 2, 2]
        smoothed = (1 - smoothing) * np.eye(3)[labels] + smoothing / 3
        expected = -(smoothed * np.log(softmax(LOGITS))).sum(axis=1)
        loss = Classification(NAMES, label_smoothing=smoothing).build_loss()
        for call in (loss.call, tf.function(loss.call)):
            found = call(tf.constant(labels), tf.constant(LOGITS))
            assert (found.shape, found.dtype) == ((3,), tf.float32)
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        # Without smoothing the loss is another.
        plain = Classification(NAMES).build_loss().call(tf.constant(labels), tf.constant(LOGITS))
        assert np.abs(plain - expected).max() > 0.01

    def test_smoothed_loss_has_the_gradient_of_smoothed_labels(self):
        loss = Classification(NAMES, label_smoothing=0.3).build_loss()
        logits = tf.constant(LOGITS)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            total = tf.reduce_sum(loss.call(tf.constant([0, 2, 2]), logits))
        smoothed = 0.7 * np.eye(3)[[0, 2, 2]] + 0.1
        expected = softmax(LOGITS) - smoothed
        np.testing.assert_allclose(tape.gradient(total, logits), expected, atol=1e-6)

    def test_smoothing_is_no_part_of_the_metrics(self, task):
        smoothed = Classification(NAMES, label_smoothing=0.3)
        labels = np.array([0, 2, 2])
        assert smoothed.evaluate(labels, LOGITS) == task.evaluate(labels, LOGITS)

    @pytest.mark.parametrize("smoothing", [-0.1, 1.0])
    def test_smoothing_out_of_range(self, smoothing):
        with pytest.raises(ValueError, match=rf"out of range\. Received: {smoothing}"):
            Classification(NAMES, label_smoothing=smoothing)

    def test_metric_is_accuracy(self, task):
        (accuracy,) = task.build_metrics()
        accuracy.update_state([0, 2, 2], LOGITS)
        assert (accuracy.name, float(accuracy.result())) == ("accuracy", pytest.approx(2 / 3))


class TestFacts:
    LABELS = np.array([0, 2, 2])

    def test_they_hold_what_evaluate_says_and_more(self, task):
        facts = measure(task, "test", self.LABELS, LOGITS, calibration_bins=4)
        assert facts.metrics == task.evaluate(self.LABELS, LOGITS, calibration_bins=4)
        assert (facts.split, facts.label_names, facts.headline) == ("test", NAMES, "accuracy")
        assert facts.num_examples == 3
        assert facts.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1]]
        assert len(facts.bins) == 4
        assert any("neutral" in note for note in facts.notes)

    def test_the_accuracy_interval_is_that_of_a_mean(self, task):
        (interval,) = measure(
            task, "test", self.LABELS, LOGITS, bootstrap_resamples=50, seed=7
        ).intervals.values()
        assert interval == bootstrap_interval(
            weighted_mean([1.0, 1.0, 0.0]), num_resamples=50, seed=7
        )

    def test_the_interval_is_the_headlines(self):
        task = Classification(NAMES, headline="f1_macro")
        facts = measure(task, "test", self.LABELS, LOGITS)
        assert (task.headline, list(facts.intervals)) == ("f1_macro", ["f1_macro"])
        assert facts.intervals["f1_macro"].estimate == pytest.approx(facts.metrics["f1_macro"])

    def test_undefined_resamples_are_told(self):
        facts = measure(Classification(NAMES, headline="roc_auc"), "test", self.LABELS, LOGITS)
        assert any("roc_auc is undefined on" in note for note in facts.notes)
        assert facts.intervals["roc_auc"].num_left_out > 0
