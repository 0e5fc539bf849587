"""Progress of a run, shown on stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerasft.recipe import Recipe, list_recipes

if TYPE_CHECKING:
    from kerasft.training.callbacks.callback import Callback


def build_progress(recipe: Recipe | None = None, *, plain: bool = False) -> Callback:
    """Builds the callback that shows progress on stderr; only the chief process shows it.

    Args:
        recipe: What is run; a long one also gets a hint at its `_quick` variant. `None`: no run.
        plain: Whether to write lines even on a terminal.
    """
    from rich.console import Console

    from kerasft.training.callbacks.callback import Callback
    from kerasft.training.callbacks.terminal import ProgressCallback
    from kerasft.training.distribution.workers import expected_cluster

    strategy = "auto" if recipe is None else recipe.training.strategy
    if not expected_cluster(strategy).is_chief:
        return Callback()  # one report is enough
    console = Console(stderr=True, force_interactive=False if plain else None)
    if recipe is None:
        return ProgressCallback(console)
    monitor = recipe.training.monitor
    return ProgressCallback(
        console,
        long_run_hint=_quicker(recipe),
        headline=recipe.evaluation.headline,
        monitor=None if monitor == "auto" else monitor,
    )


def _quicker(recipe: Recipe) -> str | None:
    """Returns a hint at the recipe's `_quick` variant; `None` if there is no other one."""
    quick = f"{recipe.name.partition('_')[0]}_quick"
    offered = quick != recipe.name and quick in {info.name for info in list_recipes()}
    return f"`--recipe {quick}` takes minutes." if offered else None
