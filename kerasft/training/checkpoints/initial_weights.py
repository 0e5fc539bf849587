"""`model.init_from`: starts a run from the encoder of an earlier run.

Phang et al. 2018, "Sentence Encoders on STILTs": an encoder fine-tuned on a large labelled task
(MNLI) first does better on a small one (RTE, MRPC, STS-B). Head and optimizer start anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir, open_run_dir
from kerasft.training.checkpoints.checkpoint import BEST, read_checkpoint

_SETTING = "model.init_from"


class InitReport(NamedTuple):
    """The source of an encoder's initial weights."""

    path: Path  # the source run directory
    preset: str
    step: int  # the best step of that run
    finished: bool  # whether that run is finished
    num_variables: int

    def to_line(self) -> str:
        """Returns a line for people."""
        unfinished = "" if self.finished else " The run was interrupted: this is its best so far."
        return (
            f"The encoder goes on from {self.path}, step {self.step} ({self.preset}, "
            f"{self.num_variables} variables); the head is new.{unfinished}"
        )


def load_encoder_weights(
    run: str | os.PathLike[str], encoder, *, preset: str | None = None
) -> InitReport:
    """Loads the weights of an earlier run's best checkpoint into an encoder.

    Args:
        run: The run directory, `runs/glue_mnli-20261122-201634`.
        encoder: A `kerasft.models.encoder.Encoder`; unchanged after an error.
        preset: The encoder's preset, for messages.

    Raises:
        UserError: If it is no run directory, the run is still active or has no best checkpoint, or
            its encoder differs.
        DamagedCheckpointError: If the checkpoint cannot be read.
    """
    run_dir = _open(Path(run).expanduser())
    source = load_recipe(run_dir.recipe_path).model.preset
    state, saved = read_checkpoint(run_dir.checkpoints_folder / BEST)
    values = _without_index(saved)
    difference = find_difference(values, encoder.weights)
    if difference is not None:
        raise UserError(
            f"{_SETTING}: the encoder of {run_dir.path} is another one than this run's. "
            f"First difference: {difference}",
            received=f"a run with the preset {source}",
            expected=f"a run with the preset {preset}" if preset else "a run with the same preset",
            fix=f"set model.preset={source}, or leave {_SETTING} out.",
        )
    for variable in encoder.weights:
        variable.assign(values[variable.path])
    return InitReport(
        path=run_dir.path,
        preset=source,
        step=int(state["step"]),
        finished=run_dir.metrics_path.exists(),
        num_variables=len(encoder.weights),
    )


def find_difference(values: Mapping[str, np.ndarray], variables: Iterable) -> str | None:
    """Returns why saved values do not fit an encoder, `None` if they do.

    Args:
        values: By variable path; may include a head.
        variables: The encoder's Keras variables.
    """
    shapes = {variable.path: tuple(variable.shape) for variable in variables}
    for name, shape in shapes.items():
        if name not in values:
            return f"{name} is missing there."
        if values[name].shape != shape:
            return f"{name} has the shape {values[name].shape} there, and {shape} here."
    # A larger encoder holds all of a smaller one, plus layers of the same kind.
    kinds = {_kind(name) for name in shapes}
    more = next((name for name in values if name not in shapes and _kind(name) in kinds), None)
    return None if more is None else f"{more} is there, and not here."


def _open(path: Path) -> RunDir:
    """Opens the source run and checks that its best checkpoint will not change."""
    try:
        run_dir = open_run_dir(path)
    except UserError as error:
        above = next((folder for folder in path.parents if _is_run(folder)), None)
        hint = "" if above is None else f' Did you mean "{above}"?'
        raise UserError(f"{_SETTING}: {error}{hint}") from error
    if run_dir.is_in_use():
        raise UserError(
            f"{_SETTING}: the run {run_dir.path} is still at work, and its best checkpoint may "
            "change.",
            fix="wait for its end, or stop it with Ctrl-C.",
        )
    if not (run_dir.checkpoints_folder / BEST).is_dir():
        raise UserError(
            f"{_SETTING}: the run {run_dir.path} has no best checkpoint: it ended before its "
            "first evaluation.",
            fix=f"go on with it first: kerasft run --resume {run_dir.path}",
        )
    return run_dir


def _is_run(folder: Path) -> bool:
    return (folder / "recipe.toml").is_file()


def _without_index(saved: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the values by variable path, those of the encoder first."""
    values: dict[str, np.ndarray] = {}
    for name, value in saved.items():
        values.setdefault(name.partition(":")[2], value)
    return values


def _kind(name: str) -> str:
    """Returns the layer's name without its number, e.g. for `transformer_layer_7/...`."""
    return re.sub(r"_\d+$", "", name.partition("/")[0])
