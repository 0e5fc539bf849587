"""The training of a session: when things happen, what is read, and how validation is measured."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from kerasft.data.batches.feature_batches import build_feature_dataset
from kerasft.data.batches.token_batches import label_dtype
from kerasft.data.plan.balance import Split
from kerasft.evaluation.forward import Forward, build_forward
from kerasft.runs.data import data as run_data
from kerasft.runs.data.augmentation import build_augmented_examples
from kerasft.runs.model import assembly
from kerasft.runs.recover import SKIP, read_divergences
from kerasft.training.loop.fit import Fit
from kerasft.training.loop.fit_state import FitSettings, FitState, TrainingData
from kerasft.training.loop.unfreezing import GradualUnfreezing
from kerasft.training.step.fine_tuner import FEATURES, FineTuner

if TYPE_CHECKING:
    from kerasft.runs.session import Session


def fit_settings(session: Session) -> FitSettings:
    """Returns when things happen in a session's training, in steps."""
    recipe, plan, total_steps = session.recipe, session.plan, session.total_steps
    minutes = recipe.training.checkpoint_every_minutes
    stop = recipe.training.stop_after_epochs
    return FitSettings(
        total_steps=total_steps,
        evaluate_every=assembly.steps_of(recipe, plan, "evaluate_every", total_steps),
        checkpoint_every=assembly.steps_of(recipe, plan, "checkpoint_every", total_steps),
        ranking=session.ranking,
        patience=recipe.training.early_stopping_patience,
        average_checkpoints=recipe.training.average_checkpoints,
        average_from=recipe.training.average_from,
        unfreezing=unfreezing(session),
        checkpoint_seconds=None if minutes is None else 60 * minutes,
        keep_checkpoints=recipe.training.keep_checkpoints,
        saves_start=recipe.training.on_divergence == SKIP,
        divergence_factor=recipe.training.divergence_factor,
        skip=frozenset(left_out["step"] for left_out in read_divergences(session.run_dir)),
        stop_step=None if stop is None else max(1, round(stop * plan.steps_per_epoch)),
        norms_every=recipe.logging.norms_every_steps,
    )


def unfreezing(session: Session) -> GradualUnfreezing:
    """Returns when layers join; never, where the recipe does not ask for it."""
    return GradualUnfreezing(assembly.steps_of(session.recipe, session.plan, "unfreeze_every"))


def fit(session: Session, model: FineTuner, state: FitState) -> None:
    """Trains a session's model from a state to the end.

    Args:
        session: A session that has loaded its data and has a run directory.
        model: From `Session.build_model`.
        state: Where it stands; changed in place.
    """
    Fit(
        model,
        session.strategy,
        data=training_data(session, model),
        settings=fit_settings(session),
        folder=session.run_dir.checkpoints_folder,
        state=state,
        callbacks=session.callbacks,
    ).run()


def training_data(session: Session, model: FineTuner) -> TrainingData:
    """Returns what a session's training reads, and how its validation is measured."""
    on_features = session.recipe.training.mode == FEATURES
    return (_on_features if on_features else _on_tokens)(session, model)


def _on_tokens(session: Session, model: FineTuner) -> TrainingData:
    """Reads token ids; encoder and head are run on them."""
    augmented = build_augmented_examples(session.recipe, session.preset, session.data)
    logits_of = functools.partial(
        run_data.split_logits,
        build_forward(model, session.strategy),
        session.data,
        run_data.VALIDATION,
        batch_size=session.recipe.evaluation.batch_size,
    )
    return TrainingData(
        plan=session.plan,
        batches=run_data.train_batches(
            session.data,
            session.plan,
            total_steps=session.total_steps,
            replicas=session.strategy.num_replicas_in_sync,
            weights=session.weights,
            augmented=augmented,
        ),
        altered=None if augmented is None else augmented.altered,
        split=Split(
            session.strategy.num_replicas_in_sync,
            parts=model.accumulation_steps,
            window_length=model.window_length,
        ),
        evaluate=functools.partial(_validate, session, logits_of),
    )


def _on_features(session: Session, model: FineTuner) -> TrainingData:
    """Runs the encoder once over all examples, without dropout; the head reads what it gives.

    The vectors stay in memory: 4 bytes times the encoder's width for each example.
    """
    data, recipe = session.data, session.recipe
    encode = Forward(
        lambda inputs: tf.cast(model.pooled(inputs, training=False), tf.float32), session.strategy
    )

    def encode_split(split: str) -> np.ndarray:
        store, indices = data.examples(split)
        session.callbacks.on_evaluation_start(f"encoding {split}", len(indices))
        return run_data.store_logits(
            encode,
            store,
            indices,
            batch_size=recipe.evaluation.batch_size,
            on_batch=session.callbacks.on_evaluation_batch,
        )

    train, validation = encode_split("train"), encode_split(run_data.VALIDATION)
    store, indices = data.examples("train")

    def batches(start_step: int) -> tf.data.Dataset:
        return build_feature_dataset(
            train,
            store.labels[indices].astype(label_dtype(store)),
            session.plan,
            start_step=start_step,
            num_steps=session.total_steps - start_step,
            pad_batch_to=session.strategy.num_replicas_in_sync,
            weights=None if session.weights is None else session.weights[indices],
        )

    def logits_of(on_batch: Callable[[int], None]) -> np.ndarray:
        logits = model.head(validation, training=False).numpy()
        on_batch(len(logits))
        return logits

    return TrainingData(
        plan=session.plan,
        batches=batches,
        split=Split(session.strategy.num_replicas_in_sync),
        evaluate=functools.partial(_validate, session, logits_of),
    )


def _validate(session: Session, logits_of: Callable, on_batch) -> dict[str, float]:
    """Returns the validation metrics of the present weights."""
    labels = session.data.labels(run_data.VALIDATION)
    session.callbacks.on_evaluation_start(run_data.VALIDATION, len(labels))
    logits = logits_of(on_batch=on_batch)
    session.callbacks.on_predictions(run_data.VALIDATION, labels, logits)
    bins = session.recipe.evaluation.calibration_bins
    return session.task.evaluate(labels, logits, calibration_bins=bins)
