"""Initial weights of a run that come from an earlier run or an adapter instead of the preset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kerasft.errors import UserError
from kerasft.models.adapters.adapter import HOULSBY, LORA, describe_adapter, pretrained_part
from kerasft.recipe import Recipe, load_recipe
from kerasft.tasks.task import Task
from kerasft.training.checkpoints.adapter_file import load_adapter
from kerasft.training.checkpoints.initial_weights import load_encoder_weights
from kerasft.training.step.fine_tuner import FineTuner


def load_starting_weights(
    model: FineTuner, recipe: Recipe, task: Task, log: Callable[[str], None]
) -> None:
    """Loads an earlier run's weights or adapter: `model.init_from`, `adapter.init_from`.

    `model` has the preset's weights and the recipe's adapter. An adapter's head is loaded if it was
    trained on the same labels.

    Raises:
        UserError: If there is no such run or adapter, or it belongs to another model.
    """
    preset = recipe.model.preset
    first = recipe.model.init_from
    if first is not None:
        _check_plain(first)
        report = load_encoder_weights(first, pretrained_part(model.encoder), preset=preset)
        log(report.to_line())
    if recipe.adapter.init_from is not None:
        loaded = load_adapter(
            recipe.adapter.init_from, model.encoder, model.head, preset=preset, task=task.record()
        )
        log(loaded.to_line())


def _check_plain(run: str) -> None:
    """Checks that a run was trained without adapter layers, which a plain encoder cannot load."""
    path = Path(run).expanduser() / "recipe.toml"
    method = load_recipe(path).adapter.method if path.is_file() else "none"
    if method in (LORA, HOULSBY):
        raise UserError(
            "model.init_from: the encoder of that run is the preset's, with an adapter beside it.",
            received=f'{run}, a run with adapter.method="{method}"',
            expected="a run that trained the encoder itself",
            fix=f"go on with its adapter: adapter.init_from={run}.",
        )


def log_adapter(model: FineTuner, log: Callable[[str], None]) -> None:
    """Logs the trainable share of a model's encoder, if it has an adapter."""
    report = describe_adapter(model.encoder)
    if report is not None:
        log(report.to_line())
