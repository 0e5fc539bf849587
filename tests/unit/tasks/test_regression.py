"""Numbers as answers: decoding, loss and metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.metrics.regression import regression_metrics
from kerasft.tasks.measuring import measure
from kerasft.tasks.regression import Regression, target_scaling
from kerasft.tasks.task import task_from_record

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
        assert tuple(answer) == ("value", "logits")
        assert {tensor.dtype for tensor in answer.values()} == {tf.float32}

    @pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
    def test_no_text_no_answer(self, wrap):
        answer = wrap(Regression(value_range=(0, 5)).decode)(tf.zeros((0, 1)))
        assert (answer["value"].shape, answer["logits"].shape) == ((0,), (0, 1))


class TestTraining:
    @pytest.mark.parametrize("wrap", [lambda step: step, tf.function])
    @pytest.mark.parametrize("rows", [4, 1])
    def test_loss_is_the_squared_error_of_each_example(self, wrap, rows):
        loss = Regression().build_loss().call
        found = wrap(loss)(tf.constant(LABELS[:rows]), tf.constant(LOGITS[:rows]))
        # Were the shapes (batch,) and (batch, 1) taken for all pairs, there would be 16 values.
        np.testing.assert_allclose(found, [0.25, 0.0625, 4.0, 1.0][:rows])

    @pytest.mark.parametrize("huber_delta", [None, 0.5])
    @pytest.mark.parametrize(("mean", "scale"), [(1985.0, 20.0), (2.5e-6, 1e-6), (-3e8, 4e7)])
    def test_the_loss_is_that_of_standardized_targets(self, mean, scale, huber_delta):
        plain = Regression(huber_delta=huber_delta).build_loss()
        task = Regression(huber_delta=huber_delta, target_scaling=(mean, scale))
        targets, outputs = (mean + scale * values for values in (LABELS, LOGITS))
        found = task.build_loss().call(
            tf.constant(targets, tf.float32), tf.constant(outputs, tf.float32)
        )
        np.testing.assert_allclose(found, plain.call(LABELS, LOGITS), rtol=1e-4, atol=1e-4)
        unscaled = plain.call(tf.constant(targets, tf.float32), tf.constant(outputs, tf.float32))
        assert not np.allclose(found, unscaled, rtol=1e-3, atol=1e-9)  # the control

    def test_the_head_answers_in_the_units_of_the_targets(self):
        pooled = tf.constant(np.random.default_rng(1).normal(size=(4, 8)).astype("float32"))
        options = {"hidden_dim": 8, "dropout": 0.0, "seed": 1}
        plain = Regression().build_head(**options)(pooled)
        scaled = Regression(target_scaling=(1985.0, 20.0)).build_head(**options)(pooled)
        np.testing.assert_allclose(scaled, 1985 + 20 * plain, rtol=1e-6)

    def test_the_divergence_does_not_depend_on_the_unit(self):
        first, second = tf.constant(LOGITS), tf.constant(LOGITS[::-1])
        plain = Regression().divergence(first, second)
        scaled = Regression(target_scaling=(5.0, 100.0))
        np.testing.assert_allclose(scaled.divergence(5 + 100 * first, 5 + 100 * second), plain)

    def test_a_record_of_an_earlier_version_standardizes_nothing(self):
        task = Regression(target_scaling=(1985.0, 20.0))
        again = task_from_record(task.record())
        assert (again.target_mean, again.target_scale) == (1985.0, 20.0)
        earlier = {k: v for k, v in task.record().items() if not k.startswith("target_")}
        old = task_from_record(earlier)
        assert (old.target_mean, old.target_scale) == (0.0, 1.0)
        pooled = tf.ones((1, 4))
        head = old.build_head(hidden_dim=4, dropout=0.0, seed=1)
        assert np.array_equal(head(pooled), head.logits(pooled))

    @pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
    def test_a_scale_that_is_none_is_refused(self, scale):
        with pytest.raises(ValueError, match="target_scaling"):
            Regression(target_scaling=(0.0, scale))

    @pytest.mark.parametrize("targets", [[3.0] * 5, [0.1] * 7, [7.0], [2e-40] * 3])
    def test_equal_targets_are_refused(self, targets):
        with pytest.raises(UserError, match="All training targets are the same number"):
            target_scaling(np.array(targets, np.float32))

    def test_scaling_is_mean_and_standard_deviation(self):
        targets = np.array([1990, 2000, 2010, 2020], np.float32)
        assert target_scaling(targets) == (2005.0, pytest.approx(np.std(targets)))

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
        facts = measure(task, "test", LABELS, LOGITS)
        assert facts.metrics == task.evaluate(LABELS, LOGITS)
        assert (facts.split, facts.num_examples, facts.headline) == ("test", 4, "pearson")
        assert facts.intervals["pearson"].estimate == pytest.approx(facts.metrics["pearson"])
        assert (tuple(facts.label_names), facts.confusion, tuple(facts.bins)) == ((), None, ())
        assert any("pearson is undefined on" in note for note in facts.notes)  # 4 examples

    @pytest.mark.parametrize("headline", ["spearman", "r2", "mean_squared_error"])
    def test_the_interval_is_the_headlines(self, headline):
        facts = measure(Regression(headline=headline), "test", LABELS, LOGITS)
        assert list(facts.intervals) == [facts.headline] == [headline]

    def test_an_undefined_headline_has_no_interval(self):
        facts = measure(Regression(), "test", LABELS, np.zeros((4, 1), "float32"))
        assert facts.intervals == {}
        assert facts.notes == ["All predictions are 0, so Pearson and Spearman are undefined."]


@pytest.mark.parametrize("limits", [(5, 0), (1, 1)])
def test_an_empty_range_is_refused(limits):
    with pytest.raises(ValueError, match=r"`value_range` is empty\. Received: \d to \d"):
        Regression(value_range=limits)
