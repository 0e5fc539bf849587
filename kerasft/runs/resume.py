"""Resuming a run: where from, and which settings may change, above all its length."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasft.errors import UserError
from kerasft.recipe import Recipe, describe_fields, load_recipe
from kerasft.recipe.overrides import parse_overrides
from kerasft.run_dir import RunDir, open_run_dir
from kerasft.runs.resolved import apply_resolved

if TYPE_CHECKING:  # imports TensorFlow
    from kerasft.training.loop.fit_state import FitSettings, FitState

OTHER_DATA = "The data is not the data that"  # prefix of the error on changed data
WRITTEN = "recipe_file.json"  # the recipe file's settings when a run began
# The data may move; its content may not change.
DATA_PLACES = r"data\.(train_files|validation_files|test_files|data_dir|format)"
_CHECKPOINT = re.compile(r"step-(\d+)")
# Length, intervals, devices, memory, reports and what follows training may change. All other
# settings affect the weights. Data may move; its content is compared with `data.json`.
_MAY_CHANGE = re.compile(
    r"training\.(epochs|steps|examples|stop_after_epochs|early_stopping_patience|keep_checkpoints)"
    r"|training\.(evaluate|checkpoint)_every_\w+"
    r"|training\.(on_divergence|divergence_factor|max_divergences|strategy|profile_steps)"
    r"|training\.gradient_accumulation_steps|performance\.gradient_checkpointing"
    rf"|{DATA_PLACES}"
    r"|evaluation\.(?!headline)\w+|export\.\w+|logging\.\w+"
)
_LENGTHENS = re.compile(
    r"training\.(epochs|steps|examples|stop_after_epochs|early_stopping_patience)"
)


class Resumed(NamedTuple):
    """What to resume.

    Attributes:
        run_dir: The run directory; `None`: nothing is resumed.
        step: Resume from the checkpoint of this step; `None`: from the latest.
    """

    run_dir: RunDir | None
    step: int | None = None


NOTHING = Resumed(None)


def open_resumed(path: str) -> Resumed:
    """Opens a run directory, or one of its checkpoints: `runs/<run>/checkpoints/step-00000120`."""
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


def change_recipe(
    run_dir: RunDir,
    overrides: Sequence[str],
    *,
    named: Recipe | None = None,
    log: Callable[[str], object] = lambda line: None,
) -> Recipe:
    """Returns the recipe of a run to resume, with overrides of the settings that may change.

    Args:
        run_dir: The run directory.
        overrides: `section.key=value`.
        named: The recipe's file as it is now: edits since the run began are applied like
            overrides. `None`: no recipe is named.
        log: Called with messages on the edits applied.

    Returns:
        The recipe; its `written` is that of `named`, or empty.

    Raises:
        UserError: A setting is changed that affects the weights.
    """
    before = load_recipe(run_dir.recipe_path)
    load_recipe(run_dir.recipe_path, overrides)  # reports syntax errors
    edits = {} if named is None else edited_settings(run_dir, named)
    after = load_recipe(run_dir.recipe_path, edits | parse_overrides(overrides)[0])
    changed = dict(differences(before, after))
    refused = {key: values for key, values in changed.items() if not _MAY_CHANGE.fullmatch(key)}
    if refused:
        raise _refusal(run_dir, refused, named if edits.keys() & refused.keys() else None)
    applied = {key: values for key, values in changed.items() if key in edits}
    if applied:
        log(f"{named.name} was edited since the run began: {_show_changes(applied)}.")
    return dataclasses.replace(after, written={} if named is None else named.written)


def change_run_recipe(run_dir: RunDir, overrides: Sequence[str]) -> Recipe:
    """Returns a run's recipe as its machine resolved it, with overrides; see `change_recipe`."""
    return apply_resolved(change_recipe(run_dir, overrides), run_dir)


def _refusal(
    run_dir: RunDir, refused: Mapping[str, tuple[object, object]], edited: Recipe | None
) -> UserError:
    """Returns the error for settings that may not change, by override or by an edited recipe."""
    fix = "leave them out, or start a new run without --resume."
    if edited is not None:
        fix = (
            f"undo the edits of {edited.name}, resume with --resume {run_dir.path} alone, or start "
            "a new run without --resume."
        )
    return UserError(
        f"The run {run_dir.path} was begun with other settings, which its weights come from.",
        received=_show_changes(refused),
        expected="changes of its length, of how often it evaluates and saves, of its devices and "
        "memory, of where its data lies, of [evaluation], [export] and [logging] alone",
        fix=fix,
    )


def edited_settings(folder: RunDir, named: Recipe, name: str = WRITTEN) -> dict[str, object]:
    """Returns what was edited in a recipe's file since a run began; `None` for removed settings.

    `name` is the JSON file in which the run keeps the settings of the recipe's file. Runs of
    earlier versions have none: no edits are found.
    """
    if not (folder.path / name).exists():
        return {}
    before, now = folder.read_json(name), dict(named.written)
    edited = {key: now.get(key) for key in [*before, *now] if before.get(key) != now.get(key)}
    return {
        setting.name: setting.default
        if edited[setting.name] is None and not setting.optional
        else edited[setting.name]
        for setting in describe_fields()
        if setting.name in edited
    }


def refuse_finished(run_dir: RunDir, recipe: Recipe) -> None:
    """Refuses to resume a finished run unless its length or patience is changed."""
    if not run_dir.metrics_path.exists():
        return
    changed = (key for key, _ in differences(load_recipe(run_dir.recipe_path), recipe))
    if not any(map(_LENGTHENS.fullmatch, changed)):
        raise UserError(
            f"The run {run_dir.path} is finished: there is nothing to resume.",
            fix="train it longer, such as with training.epochs=6; evaluate or export it with "
            f"kerasft evaluate {run_dir.path} and kerasft export {run_dir.path}; or start a new "
            "run, without --resume.",
        )


def _show_changes(changes: Mapping[str, tuple[object, object]]) -> str:
    return ", ".join(f"{key}: {old!r} -> {new!r}" for key, (old, new) in changes.items())


def check_steps_are_left(
    run_dir: RunDir, settings: FitSettings, state: FitState | None, from_step: int | None
) -> None:
    """Refuses a length or patience that the run has passed, before anything is changed.

    Args:
        run_dir: The run.
        settings: The settings of the resumed training.
        state: The latest checkpoint's; `None`: there is none.
        from_step: The step to resume from; `None`: the latest checkpoint.

    Raises:
        UserError: It is beyond its length; or it is finished, and nothing is left to train.
    """
    if state is None:
        return
    step = state.step if from_step is None else from_step
    is_finished = run_dir.metrics_path.exists() and from_step is None
    is_done = step >= settings.last_step if is_finished else step > settings.last_step
    wants = []
    if is_done:
        short = settings.last_step < settings.total_steps
        key = "training.stop_after_epochs" if short else "training.epochs, steps or examples"
        wants.append(f"{key} for more than {step} steps")
    if is_finished and state.is_out_of_patience(settings.patience):
        enough = state.evaluations_since_best + 1
        wants.append(f"training.early_stopping_patience={enough} or more, or 0 for no end")
    if wants:
        raise UserError(
            f"The run {run_dir.path} has nothing left to train.",
            received=f"steps done: {step} of {settings.last_step}; validations without an "
            f"improvement: {state.evaluations_since_best}",
            expected=" and ".join(wants),
            fix="set these, or resume an earlier checkpoint: --resume "
            f"{run_dir.checkpoints_folder}/step-N.",
        )


def write_recipe(run_dir: RunDir, recipe: Recipe) -> None:
    """Writes `recipe.toml` if it is new or changed, and the settings of the recipe's file."""
    if recipe.written:
        run_dir.write_json(WRITTEN, dict(recipe.written))
    is_new = not run_dir.recipe_path.exists()
    if is_new or any(differences(load_recipe(run_dir.recipe_path), recipe)):
        run_dir.write_text("recipe.toml", recipe.to_toml())


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
