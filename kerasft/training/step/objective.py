"""The training objective: the loss of a batch, with R-Drop, mix-up and FGM."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from kerasft.models.embeddings import EMBEDDING_OFFSET
from kerasft.training.step.accumulation import Gradients


@dataclasses.dataclass(frozen=True)
class Objective:
    """How the loss of a batch is computed; by default the plain weighted sum.

    Args:
        r_drop: Weight of the divergence between two passes with different dropout. The loss is the
            mean of both passes' losses plus `r_drop / 2` times their divergence: half of the loss
            in Liang et al. 2021, "R-Drop", so that 0 changes nothing.
        divergence: Maps two passes' logits to the divergence of each example; from the task.
        mixup_alpha: Mixes each pooled vector with that of another example of its part of the batch,
            and the losses of their labels, by a share drawn from `Beta(alpha, alpha)` (Zhang et al.
            2018; on hidden vectors Guo et al. 2019).
        adversarial_epsilon: Length of a step on each text's token embeddings, along the gradient
            (Miyato et al. 2017, "Adversarial Training Methods for Semi-Supervised Text
            Classification", without their normalization of the embeddings). The gradients with and
            without the step are averaged.
    """

    r_drop: float = 0.0
    divergence: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None
    mixup_alpha: float = 0.0
    adversarial_epsilon: float = 0.0


def compute_gradients(
    model,
    objective: Objective,
    inputs: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    weights: tf.Tensor,
) -> Gradients:
    """Returns the gradients of the sum of the weighted losses of some rows.

    The model is a compiled `FineTuner`; `weights` is float32 `(rows,)`.
    """
    if not objective.adversarial_epsilon:
        return _one_pass(model, objective, inputs, labels, weights)
    offset = tf.zeros([*tf.unstack(tf.shape(inputs["token_ids"])), model.encoder.embedding_dim])
    moved_by = {**inputs, EMBEDDING_OFFSET: offset}
    plain = _one_pass(model, objective, moved_by, labels, weights, also=[offset])
    *of_variables, slope = plain.gradients
    length = tf.sqrt(tf.reduce_sum(slope**2, axis=[1, 2], keepdims=True))
    offset = tf.math.divide_no_nan(objective.adversarial_epsilon * slope, length)
    moved_by[EMBEDDING_OFFSET] = tf.stop_gradient(offset)
    moved = _one_pass(model, objective, moved_by, labels, weights)
    gradients = [
        (tf.convert_to_tensor(a) + tf.convert_to_tensor(b)) / 2
        for a, b in zip(of_variables, moved.gradients, strict=True)
    ]
    return Gradients(gradients, plain.loss_sum, plain.logits)


def _one_pass(model, objective, inputs, labels, weights, also=()) -> Gradients:
    """Returns the gradients of the variables, followed by those of the tensors `also`."""
    sources = [*model.trained_variables, *also]
    with tf.GradientTape() as tape:
        tape.watch(also)
        loss_sum, logits = _loss_sum(model, objective, inputs, labels, weights)
        scaled = model.scaled_loss(loss_sum)
    return Gradients(tape.gradient(scaled, sources), loss_sum, logits)


def _loss_sum(model, objective, inputs, labels, weights):
    """Returns the sum of the weighted losses, and the logits of the (first) pass."""
    if objective.mixup_alpha:
        return _mixed_loss_sum(model, objective.mixup_alpha, inputs, labels, weights)
    logits = model(inputs, training=True)
    losses = model.loss_by_example(labels, logits)
    if objective.r_drop:
        again = model(inputs, training=True)
        losses = (losses + model.loss_by_example(labels, again)) / 2
        losses += objective.r_drop / 2 * objective.divergence(logits, again)
    return tf.reduce_sum(losses * weights), logits


def _mixed_loss_sum(model, alpha, inputs, labels, weights):
    pooled = model.pooled(inputs, training=True)
    num_rows = tf.shape(pooled)[0]
    partner = keras.random.shuffle(tf.range(num_rows), seed=model.mixing_seeds)
    share = keras.random.beta([num_rows], alpha, alpha, seed=model.mixing_seeds)
    # Rows of weight 0 only fill the batch and are not mixed in.
    share = tf.where(weights * tf.gather(weights, partner) > 0, share, 1.0)
    column = share[:, tf.newaxis]
    mixed = column * pooled + (1 - column) * tf.gather(pooled, partner)
    logits = model.head(mixed, training=True)
    own = weights * model.loss_by_example(labels, logits)
    other = tf.gather(weights, partner) * model.loss_by_example(tf.gather(labels, partner), logits)
    return tf.reduce_sum(share * own + (1 - share) * other), logits
