"""Single-label classification: decoding, loss and metrics."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.tasks.classification import Classification

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
        assert np.array_equal(answer["logits"], LOGITS)
        assert [answer[name].dtype for name in ("label", "probabilities", "logits")] == [
            tf.string,
            tf.float32,
            tf.float32,
        ]

    def test_bfloat16_logits_are_answered_in_float32(self, task):
        answer = task.decode(tf.constant(LOGITS, tf.bfloat16))
        assert answer["probabilities"].dtype == answer["logits"].dtype == tf.float32

    def test_no_text_no_answer(self, task):
        answer = task.decode(tf.zeros((0, 3)))
        assert [answer[name].shape[0] for name in answer] == [0, 0, 0]

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

    def test_metric_is_accuracy(self, task):
        (accuracy,) = task.build_metrics()
        accuracy.update_state([0, 2, 2], LOGITS)
        assert (accuracy.name, float(accuracy.result())) == ("accuracy", pytest.approx(2 / 3))

    def test_head_has_a_logit_for_each_label(self, task):
        head = task.build_head(hidden_dim=5, dropout=0.25, seed=3)
        assert task.num_outputs == 3
        assert head(tf.zeros((2, 5))).shape == (2, 3)
        assert head.dropout.rate == 0.25
