"""Numbers as answers: decoding, loss and metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from kerasft.metrics.regression import regression_metrics
from kerasft.tasks.regression import Regression

LOGITS = np.array([[-0.5], [2.25], [7.0], [4.0]], "float32")
LABELS = np.array([0.0, 2.0, 5.0, 3.0], "float32")


class TestDecode:
    @pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
    @pytest.mark.parametrize(
        ("value_range", "values"),
        [
            ((None, None), [-0.5, 2.25, 7.0, 4.0]),
            ((0, 5), [0.0, 2.25, 5.0, 4.0]),
            ((0, None), [0.0, 2.25, 7.0, 4.0]),
            ((None, 5), [-0.5, 2.25, 5.0, 4.0]),
        ],
    )
    def test_answer(self, wrap, value_range, values):
        task = Regression(value_range=value_range)
        answer = wrap(task.decode)(tf.constant(LOGITS))
        assert answer["value"].numpy().tolist() == values
        assert np.array_equal(answer["logits"], LOGITS)
        assert tuple(answer) == task.output_names
        assert {tensor.dtype for tensor in answer.values()} == {tf.float32}

    @pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
    def test_no_text_no_answer(self, wrap):
        answer = wrap(Regression(value_range=(0, 5)).decode)(tf.zeros((0, 1)))
        assert (answer["value"].shape, answer["logits"].shape) == ((0,), (0, 1))

    def test_bfloat16_logits_are_answered_in_float32(self):
        answer = Regression().decode(tf.constant(LOGITS, tf.bfloat16))
        assert answer["value"].dtype == answer["logits"].dtype == tf.float32


class TestTraining:
    @pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
    @pytest.mark.parametrize("rows", [4, 1])
    def test_loss_is_the_squared_error_of_each_example(self, wrap, rows):
        loss = Regression().build_loss().call
        found = wrap(loss)(tf.constant(LABELS[:rows]), tf.constant(LOGITS[:rows]))
        # Were the shapes (batch,) and (batch, 1) taken for all pairs, there would be 16 values.
        np.testing.assert_allclose(found, [0.25, 0.0625, 4.0, 1.0][:rows])

    def test_the_loss_is_not_clipped(self):
        clipped, free = (
            Regression(value_range=limits).build_loss().call(tf.constant(LABELS), LOGITS)
            for limits in ((0, 5), (None, None))
        )
        assert np.array_equal(clipped, free)

    def test_metric_is_the_absolute_error(self):
        (metric,) = Regression().build_metrics()
        metric.update_state(LABELS, LOGITS)
        expected = (0.5 + 0.25 + 2 + 1) / 4
        assert (metric.name, float(metric.result())) == (
            "mean_absolute_error",
            pytest.approx(expected),
        )
        metric.reset_state()
        metric.update_state(LABELS, LOGITS, sample_weight=[1.0, 1.0, 0.0, 0.0])
        assert float(metric.result()) == pytest.approx(0.375)

    def test_head_has_one_logit(self):
        head = Regression().build_head(hidden_dim=5, dropout=0.25, seed=3)
        assert head(tf.zeros((2, 5))).shape == (2, 1)


class TestEvaluate:
    def test_it_is_of_what_decode_answers(self):
        clipped = Regression(value_range=(0, 5)).evaluate(LABELS, LOGITS)
        assert clipped == regression_metrics(LABELS, [0.0, 2.25, 5.0, 4.0])
        assert Regression().evaluate(LABELS, LOGITS) == regression_metrics(LABELS, LOGITS[:, 0])
        assert (
            clipped["mean_squared_error"]
            < Regression().evaluate(LABELS, LOGITS)["mean_squared_error"]
        )

    def test_constant_predictions(self):
        metrics = Regression().evaluate(LABELS, np.full((4, 1), 2.0, "float32"))
        assert math.isnan(metrics["pearson"])


class TestFacts:
    def test_they_hold_what_evaluate_says_and_the_interval(self):
        task = Regression(value_range=(0, 5))
        facts = task.facts("test", LABELS, LOGITS)
        assert facts.metrics == task.evaluate(LABELS, LOGITS)
        assert (facts.split, facts.num_examples, facts.headline) == ("test", 4, "pearson")
        assert facts.intervals["pearson"].estimate == pytest.approx(facts.metrics["pearson"])
        assert (tuple(facts.label_names), facts.confusion, tuple(facts.bins)) == ((), None, ())
        assert any("pearson is undefined on" in note for note in facts.notes)  # 4 examples

    @pytest.mark.parametrize("headline", ["spearman", "r2", "mean_squared_error"])
    def test_the_interval_is_the_headlines(self, headline):
        facts = Regression(headline=headline).facts("test", LABELS, LOGITS)
        assert list(facts.intervals) == [facts.headline] == [headline]

    def test_an_undefined_headline_has_no_interval(self):
        facts = Regression().facts("test", LABELS, np.zeros((4, 1), "float32"))
        assert facts.intervals == {}
        assert facts.notes == ["All predictions are 0, so Pearson and Spearman are undefined."]

    def test_settings_of_the_interval_are_passed_on(self):
        task = Regression(headline="mean_absolute_error")
        first, again, other = (
            task.facts("test", LABELS, LOGITS, seed=seed, bootstrap_resamples=50).intervals
            for seed in (1, 1, 2)
        )
        assert first == again
        assert first != other


def test_perfect_logits_are_right_and_wrong_ones_are_not():
    task = Regression(value_range=(0, 5))
    logits = task.perfect_logits(LABELS)
    assert (logits.shape, logits.dtype) == ((4, 1), np.float32)
    assert task.evaluate(LABELS, logits)["mean_squared_error"] == 0.0
    assert task.evaluate(LABELS[::-1], logits)["mean_squared_error"] > 0.0


def test_there_are_no_thresholds_to_tune():
    task = Regression()
    assert not task.has_thresholds
    assert task.with_tuned_thresholds(LABELS, LOGITS) is task


@pytest.mark.parametrize("limits", [(5, 0), (1, 1)])
def test_an_empty_range_is_refused(limits):
    with pytest.raises(ValueError, match=r"`value_range` is empty\. Received: \d to \d"):
        Regression(value_range=limits)
