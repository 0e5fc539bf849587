"""Checkpoints of a run: everything needed to resume from a step with identical results.

A checkpoint is a folder `step-00001234/` with `variables.safetensors` (weights, optimizer, random
seeds, running metrics) and `state.json` (position, history, checksum), written under another name
and renamed. `best/` holds only the weights of the best step so far; `best-00001234/` those of an
earlier best step, kept while there is a checkpoint at which it was the best.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from kerasft.errors import UserError
from kerasft.run_dir import check_disk_space, telling_os_errors, to_json
from kerasft.training.step.lazy_rows import COUNTS_NAME, initial_counts

BEST = "best"
_NUMBERED = re.compile(r"seed_generator_\d+")


class Files(NamedTuple):
    """Names of the two files in a folder of weights."""

    variables: str = "variables.safetensors"
    state: str = "state.json"
    what: str = "checkpoint"


_CHECKPOINT = Files()


class DamagedCheckpointError(UserError):
    """A checkpoint cannot be read; the one before it may be intact."""


def discard_after(folder: Path, step: int) -> None:
    """Removes the checkpoints of later steps, to resume from an earlier one."""
    for path in checkpoints_in(folder):
        if step_of(path) > step:
            shutil.rmtree(path, ignore_errors=True)


def save_weights(folder: Path, step: int, variables: Sequence) -> Path:
    """Saves only the weights of an evaluated step, in addition to others that are kept."""
    return write_arrays(weights_path(folder, step), named_values(variables), {"step": step})


def weights_path(folder: Path, step: int) -> Path:
    """Returns the folder of a step's weights or checkpoint."""
    return folder / f"step-{step:08d}"


def save_best(folder: Path, variables: Sequence, state: Mapping) -> Path:
    """Saves the best weights so far, replacing the previous ones; `state` must have their `step`.

    The previous ones are kept as `best-<step>` while a checkpoint refers to them. No checkpoint may
    be being written to `folder` meanwhile.
    """
    step = _best_step(folder / BEST)
    if step is not None and step != state["step"] and step in _steps_counted_on(folder):
        _link_folder(folder / BEST, _earlier_best(folder, step))
    return write_arrays(folder / BEST, named_values(variables), state)


def restore_best(folder: Path, step: int) -> bool:
    """Restores `best/` to the weights of `step` when training goes back; 0: there was none yet.

    Returns:
        Whether the weights exist. If not, `best/` is removed: it would belong to a step that the
        resumed run never had.
    """
    if step and _best_step(folder / BEST) == step:
        return True
    earlier = _earlier_best(folder, step)
    if _best_step(earlier) == step:
        shutil.rmtree(folder / BEST, ignore_errors=True)
        earlier.rename(folder / BEST)
        return True
    shutil.rmtree(folder / BEST, ignore_errors=True)
    return False


def discard_earlier_best(folder: Path) -> None:
    """Removes earlier best weights that no checkpoint refers to any more."""
    needed = {_earlier_best(folder, step).name for step in _steps_counted_on(folder)}
    for path in folder.glob(f"{BEST}-*"):
        if path.name not in needed:
            shutil.rmtree(path, ignore_errors=True)


def saved_states(folder: Path) -> list[dict[str, Any]]:
    """Returns the states of the undamaged checkpoints in a folder, oldest first."""
    return [state for path in checkpoints_in(folder) if (state := _read_state(path)) is not None]


def latest_state(folder: Path) -> dict[str, Any] | None:
    """Returns the newest readable checkpoint state, `None` without one."""
    states = saved_states(folder)
    return states[-1] if states else None


def _earlier_best(folder: Path, step: int) -> Path:
    return folder / f"{BEST}-{step:08d}"


def _steps_counted_on(folder: Path) -> set[int]:
    return {state.get("best_step", 0) for state in saved_states(folder)}


def _best_step(path: Path) -> int | None:
    state = _read_state(path)
    return None if state is None else state.get("step")


def _read_state(path: Path) -> dict[str, Any] | None:
    try:
        state = json.loads((path / _CHECKPOINT.state).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) else None


def _link_folder(source: Path, target: Path) -> None:
    """Copies a folder by hard links; copies the files where links are unsupported."""

    def link(file: str, place: str) -> None:
        try:
            os.link(file, place)
        except OSError:
            shutil.copy2(file, place)

    beside = target.with_name(f".{target.name}.new")
    with telling_os_errors(target):
        for leftover in (beside, target):
            shutil.rmtree(leftover, ignore_errors=True)
        shutil.copytree(source, beside, copy_function=link)
        beside.rename(target)


def checkpoints_in(folder: Path) -> list[Path]:
    """Returns the step checkpoints in a folder, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def latest_step(folder: Path) -> int:
    """Returns the step of the newest checkpoint in a folder, 0 without one."""
    found = checkpoints_in(folder)
    return step_of(found[-1]) if found else 0


def step_of(path: Path) -> int:
    """Returns the step in the name of a checkpoint's folder."""
    return int(path.name.removeprefix("step-"))


def restore_latest(
    folder: Path, variables_at: Callable[[int], Sequence], *, log: Callable[[str], None]
) -> dict[str, Any] | None:
    """Restores the newest intact checkpoint.

    Args:
        folder: The run's folder of checkpoints.
        variables_at: Maps a step to the variables saved then, in the same order.
        log: Called with a warning for each damaged checkpoint that is skipped.

    Returns:
        Its state, or `None` if there is no checkpoint at all.

    Raises:
        UserError: If all checkpoints are damaged, or they belong to another model.
    """
    _put_back(folder)
    found = checkpoints_in(folder)
    for path in reversed(found):
        try:
            return restore(path, variables_at(step_of(path)))
        except DamagedCheckpointError as error:
            log(f"{error} Going back to the checkpoint before it.")
    if found:
        raise UserError(
            f"No checkpoint in {folder} is whole.", fix="start the run anew, without --resume."
        )
    return None


def restore(path: Path, variables: Sequence) -> dict[str, Any]:
    """Assigns a checkpoint's values to the same variables, in order; returns its state.

    Raises:
        DamagedCheckpointError: If the checkpoint is missing or damaged.
        UserError: If it belongs to another model.
    """
    state, values = read_checkpoint(path)
    if not any(name.endswith(COUNTS_NAME) for name in values):
        variables = _without_lazy_counts(variables)
    _check_same(path, values, _named(variables))
    assign_named(variables, values)
    return state


def _without_lazy_counts(variables: Sequence) -> list:
    """Returns the variables without the pending steps of a table, which are set to none.

    Earlier versions updated the whole table of every family but BERT and ELECTRA.
    """
    for variable in variables:
        if variable.path.endswith(COUNTS_NAME):
            variable.assign(initial_counts(variable.shape[0]))
    return [variable for variable in variables if not variable.path.endswith(COUNTS_NAME)]


def named_values(variables: Sequence) -> dict[str, np.ndarray]:
    """Returns copies of variables' values, by their names in a checkpoint."""
    return {
        name: np.array(variable.numpy(), order="C") for name, variable in _named(variables).items()
    }


def assign_named(variables: Sequence, values: Mapping[str, np.ndarray]) -> None:
    """Assigns values named as by `named_values`."""
    for name, variable in _named(variables).items():
        variable.assign(values[name])


def read_checkpoint(
    path: Path, files: Files = _CHECKPOINT
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Reads a checkpoint, or another folder of weights, and verifies its checksum.

    Returns:
        Its state, and its values by `<index>:<path of the variable>`, in the model's order.

    Raises:
        DamagedCheckpointError: If the checkpoint is missing or damaged.
    """
    try:
        state = json.loads((path / files.state).read_text(encoding="utf-8"))
        digest = _digest(path / files.variables)
        values = load_file(path / files.variables)
        recorded = state["checksum"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise DamagedCheckpointError(
            f"The {files.what} {path} cannot be read: {type(error).__name__}: {error}."
        ) from error
    if digest != recorded:
        raise DamagedCheckpointError(
            f"The {files.what} {path} is damaged: its checksum is not the recorded one."
        )
    return state, dict(sorted(values.items()))


def write_arrays(
    final: Path, arrays: Mapping[str, np.ndarray], state: Mapping, files: Files = _CHECKPOINT
) -> Path:
    """Writes weights, state and checksum atomically to a folder, which is replaced; returns it.

    Raises:
        UserError: If the disk is full, or the folder is not writable.
    """
    folder, name = final.parent, final.name
    beside, old = folder / f".{name}.new", folder / f".{name}.old"
    needed = check_space(final, arrays, files)
    with telling_os_errors(final, needed):
        try:
            shutil.rmtree(beside, ignore_errors=True)
            # Do not recreate a parent folder that was removed meanwhile.
            folder.mkdir(exist_ok=True)
            beside.mkdir()
            _save_arrays(arrays, beside / files.variables)
            recorded = {**state, "checksum": _digest(beside / files.variables)}
            (beside / files.state).write_text(to_json(recorded, indent=1), encoding="utf-8")
            shutil.rmtree(old, ignore_errors=True)
            if final.exists():
                final.rename(old)
            beside.rename(final)
        except BaseException:
            if old.exists() and not final.exists():
                old.rename(final)
            raise
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)
    return final


def check_space(final: Path, arrays: Mapping[str, np.ndarray], files: Files = _CHECKPOINT) -> int:
    """Returns the size of a folder of weights; raises `UserError` if the disk is too full."""
    needed = sum(array.nbytes for array in arrays.values())
    check_disk_space(final.parent, needed, f"a {files.what}")
    return needed


def _put_back(folder: Path) -> None:
    """Restores a folder that a process, killed between the two renames of a write, left aside."""
    for old in folder.glob(".*.old"):
        final = folder / old.name.removeprefix(".").removesuffix(".old")
        if not final.exists():
            old.rename(final)


def _save_arrays(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Saves arrays; turns a disk error into its `OSError`."""
    try:
        save_file(dict(arrays), path)
    except SafetensorError as error:
        raise OSError(28 if "No space" in str(error) else 5, str(error)) from error


def _named(variables: Sequence) -> dict[str, Any]:
    """Returns the variables by a name that is unique and the same in every process.

    Keras numbers its seed generators across the whole process; that number is left out.
    """
    return {
        f"{index:04d}:{_NUMBERED.sub('seed_generator', variable.path)}": variable
        for index, variable in enumerate(variables)
    }


def _check_same(path: Path, values: Mapping[str, np.ndarray], variables: Mapping) -> None:
    """Checks that a checkpoint fits these variables."""
    received = {name: tuple(value.shape) for name, value in values.items()}
    expected = {name: tuple(variable.shape) for name, variable in variables.items()}
    if received != expected:
        different = sorted(set(received.items()) ^ set(expected.items()))
        raise UserError(
            f"The checkpoint {path} belongs to another model: {len(different)} differences, the "
            f"first at {different[0][0]}.",
            fix="resume with the recipe that made it.",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()
