"""Resolves the automatic choices of `[performance]`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import tensorflow as tf

from kerasft.data.plan.balance import PADDING_MULTIPLE
from kerasft.errors import UserError
from kerasft.models.fast.kernels.building import load_kernels
from kerasft.recipe import Recipe
from kerasft.training.step.fine_tuner import FineTuner

# From `_LONG` tokens per text, attention is computed in chunks of `_CHUNK` tokens.
_LONG, _CHUNK = 1024, 128


def attention_chunk(recipe: Recipe) -> int:
    """Returns the number of tokens whose attention is computed at once; 0: all of a text."""
    chosen, model, training = recipe.performance.attention_chunk, recipe.model, recipe.training
    if chosen is not None:
        return chosen
    longest = max(model.sequence_length, training.sequence_length or 0)
    return _CHUNK if longest >= _LONG and not training.jit_compile else 0


def length_multiple(recipe: Recipe) -> int:
    """Returns the multiple to which training batches are padded in width.

    On a CPU any width costs its number of tokens; XLA compiles each width, and GPUs have tiles.
    """
    chosen = recipe.performance.pad_length_to
    if chosen is not None:
        return chosen
    return PADDING_MULTIPLE if recipe.training.jit_compile else evaluation_length_multiple()


def evaluation_length_multiple() -> int:
    """Returns the multiple to which evaluation batches are padded in width; XLA compiles none."""
    return PADDING_MULTIPLE if tf.config.list_logical_devices("GPU") else 1


def lazy_table(model: FineTuner, recipe: Recipe) -> str | None:
    """Returns the path of the token table if its rows may be updated lazily, when they are read.

    `None` if its gradient comes from more than the batch's tokens, or if it is read whole.
    """
    reads_whole = (
        recipe.training.ema_decay
        or recipe.regularization.adversarial_epsilon
        or model.penalties.are_any
        or model.loss_scale is not None
    )
    if reads_whole or not recipe.performance.lazy_embeddings:
        return None
    return model.encoder.layer_map.token_table.embeddings.path


def updates_rows(recipe: Recipe) -> bool:
    """Returns whether the lazy table is updated row by row on these devices, or else as a whole.

    Row updates were measured on CPUs only, XLA cannot compile them, and replicas and the parts of a
    batch sum whole tables. A resumed run may have been on other devices or in other parts: the
    table is lazy there, too, and only updated differently.
    """
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    on_gpu = bool(tf.config.list_logical_devices("GPU"))
    in_parts = recipe.training.gradient_accumulation_steps > 1
    return replicas == 1 and not (on_gpu or in_parts or recipe.training.jit_compile)


def choose_kernels(recipe: Recipe, log: Callable[[str], None]) -> ModuleType | None:
    """Returns the kernels for the training step; `None`: TensorFlow's own operations.

    If kernels would help but are not available, `log` gets the reason.

    Raises:
        UserError: The recipe asks for kernels, and they are not available.
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
    if wanted is None and sys.platform != "linux":  # the only tested system
        return None
    try:
        return load_kernels(log)
    except UserError as error:
        if wanted:
            raise
        log(f"The step computes with TensorFlow's own operations, which take longer. {error}")
        return None
