"""Losses and divergences against scikit-learn, SciPy and the papers' formulas."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, rel_entr, softmax

from kerasft.tasks.losses import FocalLoss, class_divergence, label_divergence, number_divergence
from kerasft.tasks.task import build_task

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 0.0], [-2.0, 1.0, 4.0]], np.float32)
OTHER = np.array([[1.0, 0.0, 0.5], [0.0, -3.0, 1.0], [-2.0, 1.0, 3.5]], np.float32)
LABELS = np.array([0, 2, 2])


class TestFocalLoss:
    @pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
    def test_follows_its_formula(self, gamma):
        p = softmax(LOGITS, axis=1)[range(3), LABELS]
        expected = -((1 - p) ** gamma) * np.log(p)
        np.testing.assert_allclose(FocalLoss(gamma).call(LABELS, LOGITS), expected, rtol=1e-5)

    @pytest.mark.parametrize("gamma", [0.5, 2.0])
    def test_the_gradient_of_a_certain_answer_is_finite(self, gamma):
        logits = tf.constant([[60.0, -60.0]])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = FocalLoss(gamma).call(np.array([0]), logits)
        assert np.isfinite(tape.gradient(loss, logits)).all()


class TestDivergence:
    def test_of_classes_is_the_mean_of_both_directions(self):
        p, q = softmax(LOGITS, axis=1), softmax(OTHER, axis=1)
        expected = (rel_entr(p, q).sum(1) + rel_entr(q, p).sum(1)) / 2
        np.testing.assert_allclose(class_divergence(LOGITS, OTHER), expected, rtol=1e-4)

    def test_of_labels_is_that_of_each_label_by_itself(self):
        p, q = (np.stack([expit(x), 1 - expit(x)]) for x in (LOGITS, OTHER))
        both = (rel_entr(p, q) + rel_entr(q, p)).sum(0) / 2
        np.testing.assert_allclose(label_divergence(LOGITS, OTHER), both.mean(1), rtol=1e-4)

    def test_of_numbers_is_the_squared_difference(self):
        difference = number_divergence(LOGITS[:, :1], OTHER[:, :1])
        np.testing.assert_allclose(difference, (LOGITS[:, 0] - OTHER[:, 0]) ** 2)

    @pytest.mark.parametrize("kind", ["single", "multi", "number"])
    def test_each_task_has_one_that_is_0_of_equal_answers_and_else_above(self, kind):
        names = () if kind == "number" else ("a", "b", "c")
        task = build_task(kind, names)
        logits, other = LOGITS[:, : task.num_outputs], OTHER[:, : task.num_outputs]
        np.testing.assert_allclose(task.divergence(logits, logits), 0.0, atol=1e-7)
        assert float(tf.reduce_max(task.divergence(logits, other))) > 0.01


class TestChoice:
    @pytest.mark.parametrize(
        ("kind", "setting", "loss"),
        [
            ("single", {"focal_gamma": 2.0}, FocalLoss),
            ("multi", {"focal_gamma": 2.0}, keras.losses.BinaryFocalCrossentropy),
            ("number", {"huber_delta": 1.0}, keras.losses.Huber),
            ("single", {}, keras.losses.SparseCategoricalCrossentropy),
            ("number", {}, keras.losses.MeanSquaredError),
        ],
    )
    def test_of_the_loss(self, kind, setting, loss):
        task = build_task(kind, () if kind == "number" else ("a", "b"), **setting)
        assert isinstance(task.build_loss(), loss)

    def test_smoothing_and_focal_loss_exclude_each_other(self):
        with pytest.raises(ValueError, match="Expected one of them"):
            build_task("single", ("a", "b"), label_smoothing=0.1, focal_gamma=2.0)

    def test_huber_grows_linearly_from_delta_on(self):
        loss = build_task("number", (), huber_delta=2.0).build_loss()
        errors = loss.call(np.zeros((3, 1)), np.array([[1.0], [4.0], [6.0]]))
        np.testing.assert_allclose(errors, [0.5, 6.0, 10.0])
