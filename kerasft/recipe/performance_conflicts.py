"""Settings of `[performance]` that exclude others, or that would do nothing beside them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerasft.recipe.load import Recipe


def find_performance_conflicts(recipe: Recipe) -> Iterator[str]:
    """Yields one sentence for each pair of settings that cannot stand together."""
    if recipe.performance.gradient_checkpointing:
        yield from _checkpointing_conflicts(recipe)
    if recipe.performance.attention_chunk and recipe.training.jit_compile:
        yield (
            "performance.attention_chunk with training.jit_compile: XLA cannot compile chunks "
            "whose number changes from batch to batch. Set performance.attention_chunk=0."
        )


def _checkpointing_conflicts(recipe: Recipe) -> Iterator[str]:
    name = "performance.gradient_checkpointing"
    if recipe.training.jit_compile:
        yield (
            f"{name} with training.jit_compile: it was not shown that XLA keeps the second pass "
            "apart from the first, without which no memory is saved. Leave one of them out."
        )
    untrained = {
        "freezing.encoder=true": recipe.freezing.encoder,
        'training.mode="features"': recipe.training.mode == "features",
    }
    for reason, is_chosen in untrained.items():
        if is_chosen:
            yield f"{name} with {reason}: no layer of the encoder has a gradient to compute."
