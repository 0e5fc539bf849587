"""What `[performance]` leaves open, settled: the automatic choices."""

from __future__ import annotations

import tensorflow as tf

from kerasft.data.balance import PADDING_MULTIPLE
from kerasft.models.encoder import knows_layers
from kerasft.models.presets import Preset
from kerasft.recipe import Recipe

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
    any_width = not recipe.training.jit_compile and not tf.config.list_logical_devices("GPU")
    return 1 if any_width else PADDING_MULTIPLE
