"""The batches of a training, and the function that measures its validation."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasft.data.batches.feature_batches import build_feature_dataset
from kerasft.data.batches.token_batches import label_dtype
from kerasft.data.plan.balance import Split
from kerasft.evaluation.forward import Forward, build_forward
from kerasft.runs.context import RunContext
from kerasft.runs.data.augmentation import build_augmented_examples
from kerasft.runs.data.data import VALIDATION, split_logits, store_logits, train_batches
from kerasft.training.loop.fit_state import TrainingData
from kerasft.training.step.fine_tuner import FEATURES, FineTuner


def training_data(context: RunContext, model: FineTuner) -> TrainingData:
    """Returns a run's training batches and validation function."""
    on_features = context.recipe.training.mode == FEATURES
    return (_on_features if on_features else _on_tokens)(context, model)


def _on_tokens(context: RunContext, model: FineTuner) -> TrainingData:
    """Feeds token ids to encoder and head."""
    augmented = build_augmented_examples(context.recipe, context.preprocessor, context.data)
    logits_of = functools.partial(
        split_logits,
        build_forward(model, context.strategy),
        context.data,
        VALIDATION,
        batch_size=context.recipe.evaluation.batch_size,
    )
    return TrainingData(
        plan=context.plan,
        batches=train_batches(
            context.data,
            context.plan,
            total_steps=context.settings.total_steps,
            replicas=context.strategy.num_replicas_in_sync,
            weights=context.example_weights,
            augmented=augmented,
        ),
        altered=None if augmented is None else augmented.altered,
        split=Split(
            context.strategy.num_replicas_in_sync,
            parts=model.accumulation_steps,
            window_length=model.window_length,
        ),
        evaluate=functools.partial(_validate, context, logits_of),
    )


def _on_features(context: RunContext, model: FineTuner) -> TrainingData:
    """Runs the encoder once over all examples, without dropout; feeds the vectors to the head.

    The vectors stay in memory: 4 bytes times the encoder's width for each example.
    """
    data, recipe = context.data, context.recipe
    encode = Forward(
        lambda inputs: tf.cast(model.pooled(inputs, training=False), tf.float32), context.strategy
    )

    def encode_split(split: str) -> np.ndarray:
        store, indices = data.examples(split)
        context.callbacks.on_evaluation_start(f"encoding {split}", len(indices))
        return store_logits(
            encode,
            store,
            indices,
            batch_size=recipe.evaluation.batch_size,
            on_batch=context.callbacks.on_evaluation_batch,
        )

    train, validation = encode_split("train"), encode_split(VALIDATION)
    store, indices = data.examples("train")

    def batches(start_step: int) -> tf.data.Dataset:
        return build_feature_dataset(
            train,
            store.labels[indices].astype(label_dtype(store)),
            context.plan,
            start_step=start_step,
            num_steps=context.settings.total_steps - start_step,
            pad_batch_to=context.strategy.num_replicas_in_sync,
            weights=None if context.example_weights is None else context.example_weights[indices],
        )

    def logits_of(on_batch: Callable[[int], None]) -> np.ndarray:
        logits = model.head(validation, training=False).numpy()
        on_batch(len(logits))
        return logits

    return TrainingData(
        plan=context.plan,
        batches=batches,
        split=Split(context.strategy.num_replicas_in_sync),
        evaluate=functools.partial(_validate, context, logits_of),
    )


def _validate(context: RunContext, logits_of: Callable, on_batch) -> dict[str, float]:
    """Returns the validation metrics of the current weights."""
    labels = context.data.labels(VALIDATION)
    context.callbacks.on_evaluation_start(VALIDATION, len(labels))
    logits = logits_of(on_batch=on_batch)
    context.callbacks.on_predictions(VALIDATION, labels, logits)
    bins = context.recipe.evaluation.calibration_bins
    return context.task.evaluate(labels, logits, calibration_bins=bins)
