"""What a run is resumed from, and which settings may have changed meanwhile."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasft.errors import UserError
from kerasft.recipe import Recipe, load_recipe
from kerasft.run_dir import RunDir, open_run_dir

if TYPE_CHECKING:  # which imports TensorFlow
    from kerasft.training.fit_state import FitState

_CHECKPOINT = re.compile(r"step-(\d+)")
# How long, how often, on which devices, what is told and what comes after training; all else is
# what the weights were made with.
_MAY_CHANGE = re.compile(
    r"training\.(epochs|steps|examples|stop_after_epochs|early_stopping_patience|keep_checkpoints)"
    r"|training\.(evaluate|checkpoint)_every_\w+"
    r"|training\.(on_divergence|divergence_factor|max_divergences|strategy|profile_steps)"
    r"|evaluation\.(?!headline)\w+|export\.\w+|logging\.\w+"
)


class Resumed(NamedTuple):
    """What is gone on with.

    Attributes:
        run_dir: The run directory; `None` where nothing is gone on with.
        step: Go on from the checkpoint of this step; `None`: from the latest.
    """

    run_dir: RunDir | None
    step: int | None = None


NOTHING = Resumed(None)


def open_resumed(path: str) -> Resumed:
    """Opens a run directory, or one of its checkpoints: `runs/<run>/checkpoints/step-00000120`.

    Raises:
        UserError: There is no such run or checkpoint.
    """
    named = Path(path)
    match = _CHECKPOINT.fullmatch(named.name)
    if match is None:
        return Resumed(open_run_dir(path))
    folder = named.parent if named.parent.name == "checkpoints" else named.parent / "checkpoints"
    run_dir, step = open_run_dir(folder.parent), int(match[1])
    saved = sorted(int(m[1]) for p in folder.glob("step-*") if (m := _CHECKPOINT.fullmatch(p.name)))
    if step not in saved:
        raise UserError(
            "There is no such checkpoint.",
            received=path,
            expected=f"a step of {', '.join(map(str, saved))}" if saved else "a run that has one",
        )
    return Resumed(run_dir, step)


def change_recipe(run_dir: RunDir, overrides: Sequence[str]) -> Recipe:
    """Returns the recipe of a run that is resumed, with the settings that may change meanwhile.

    Args:
        run_dir: The run directory.
        overrides: `section.key=value`.

    Raises:
        UserError: A setting is changed that the weights were made with.
    """
    before = load_recipe(run_dir.recipe_path)
    after = load_recipe(run_dir.recipe_path, overrides)
    changed = dict(differences(before, after))
    refused = {key: values for key, values in changed.items() if not _MAY_CHANGE.fullmatch(key)}
    if refused:
        shown = ", ".join(f"{key}: {old!r} -> {new!r}" for key, (old, new) in refused.items())
        raise UserError(
            f"The run {run_dir.path} was begun with other settings, which its weights come from.",
            received=shown,
            expected="changes of its length, of how often it evaluates and saves, of its devices, "
            "of [evaluation], [export] and [logging] alone",
            fix="leave them out, or start a new run without --resume.",
        )
    return after


def compare_devices(state: FitState, devices: str, tell: Callable[[str], object]) -> None:
    """Says that a run goes on on other devices than before, and enters these in its state.

    Args:
        state: From the checkpoint.
        devices: From `describe_strategy`.
        tell: Told, in a line for people, what that means.
    """
    if state.devices not in (None, devices):
        tell(
            f"So far it was trained on {state.devices}, and goes on on {devices}: sums are added "
            "up in another order, and each replica draws its own dropout. Without dropout it ends "
            "within rounding of what it would have been, and not bit for bit."
        )
    state.devices = devices


def differences(before: Recipe, after: Recipe) -> Iterator[tuple[str, tuple[object, object]]]:
    """Yields the settings that differ between two recipes, `section.key`, with both values."""
    for section in dataclasses.fields(before):
        ours, theirs = getattr(before, section.name), getattr(after, section.name)
        if not dataclasses.is_dataclass(ours):
            continue
        for field in dataclasses.fields(ours):
            values = getattr(ours, field.name), getattr(theirs, field.name)
            if values[0] != values[1]:
                yield f"{section.name}.{field.name}", values
