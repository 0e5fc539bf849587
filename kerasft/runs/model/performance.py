"""What `[performance]` leaves open, settled: the automatic choices."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import tensorflow as tf

from kerasft.data.plan.balance import PADDING_MULTIPLE
from kerasft.errors import UserError
from kerasft.models.encoder import knows_layers
from kerasft.models.fast.kernels.building import load_kernels
from kerasft.models.presets import Preset
from kerasft.recipe import Recipe
from kerasft.training.step.fine_tuner import FineTuner

# Texts of so many tokens have their attention computed in chunks of so many.
_LONG, _CHUNK = 1024, 128


def attention_chunk(recipe: Recipe, preset: Preset) -> int:
    """Returns how many tokens' attention is computed at once; 0 is all of a text's."""
    chosen, model, training = recipe.performance.attention_chunk, recipe.model, recipe.training
    if chosen is not None:
        return chosen
    longest = max(model.sequence_length, training.sequence_length or 0)
    fits = knows_layers(preset.backbone) and not training.jit_compile
    return _CHUNK if fits and longest >= _LONG else 0


def length_multiple(recipe: Recipe) -> int:
    """Returns what the width of a training batch is a multiple of.

    A CPU computes any width at its number of tokens; XLA compiles each anew, and a GPU has tiles.
    """
    chosen = recipe.performance.pad_length_to
    if chosen is not None:
        return chosen
    return PADDING_MULTIPLE if recipe.training.jit_compile else evaluation_length_multiple()


def evaluation_length_multiple() -> int:
    """Returns what the width of an evaluation's batch is a multiple of; XLA compiles none."""
    return PADDING_MULTIPLE if tf.config.list_logical_devices("GPU") else 1


def lazy_table(model: FineTuner, recipe: Recipe) -> str | None:
    """Returns the path of the token table where its rows may be updated as they are read.

    Not where something else than the tokens of a batch makes its gradient, or reads it whole.

    Args:
        model: What is trained.
        recipe: The recipe.
    """
    reads_whole = (
        recipe.training.ema_decay
        or recipe.regularization.adversarial_epsilon
        or model.penalties.are_any
        or model.loss_scale is not None
        or not model.encoder.runs_layers
    )
    if reads_whole or not recipe.performance.lazy_embeddings:
        return None
    return model.encoder.backbone.token_embedding.embeddings.path


def updates_rows(recipe: Recipe) -> bool:
    """Tells whether the lazy table is updated row by row on these devices; else it is whole.

    It was measured on CPUs alone, XLA cannot compile it, replicas sum whole tables, and so do the
    parts of a batch. A resumed run may have been on other devices or in other parts: so the table
    is lazy there, too, and only updated otherwise.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    in_parts = recipe.training.gradient_accumulation_steps > 1
    return replicas == 1 and not (on_gpu or in_parts or recipe.training.jit_compile)


def choose_kernels(recipe: Recipe, log: Callable[[str], None]) -> ModuleType | None:
    """Returns the kernels that the step is to compute with; `None`: TensorFlow's operations.

    Args:
        recipe: The recipe.
        log: Called with a message that says why there are none, where they would be of use.

    Raises:
        UserError: The recipe asks for them, and they cannot be had.
    """
    wanted = recipe.performance.kernels
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    if wanted and on_gpu:
        raise UserError(
            "The kernels of the training step are for CPUs, and here is a GPU.",
            received="performance.kernels=true",
            fix="leave it out.",
        )
    if wanted is False or on_gpu or recipe.training.jit_compile:
        return None
    if wanted is None and sys.platform != "linux":  # the only system that they were tried on
        return None
    try:
        return load_kernels(log)
    except UserError as error:
        if wanted:
            raise
        log(f"The step computes with TensorFlow's own operations, which take longer. {error}")
        return None
