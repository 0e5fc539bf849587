"""What `[performance]` leaves open, settled: the automatic choices."""

from __future__ import annotations

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
