"""Saves a trained adapter in a small folder and loads it onto the preset.

`adapter.safetensors` holds the trained weights of encoder and head; `adapter.json` the method and
its settings, the preset with a checksum of its frozen weights, and the task.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasft.errors import UserError, nearest
from kerasft.models.adapters.adapter import adapter_of, add_adapter
from kerasft.training.checkpoints.checkpoint import Files, read_checkpoint, write_arrays

ADAPTER_FOLDER = "adapter"
_FILES = Files("adapter.safetensors", "adapter.json", "saved adapter")
_ENCODER, _HEAD = "encoder/", "head/"
_MAY_DIFFER = ("dropout",)  # it affects training only


@dataclasses.dataclass(frozen=True)
class TrainedAdapter:
    """The weights trained with an adapter."""

    method: str  # `lora`, `bitfit` or `houlsby`
    settings: Mapping[str, Any]  # of the method, as `add_adapter` takes them
    pooling: str  # the encoder's
    base_checksum: str  # of the encoder's frozen weights
    values: Mapping[str, np.ndarray]  # the trained weights: `encoder/<path>` and `head/<path>`


class LoadedAdapter(NamedTuple):
    """The adapter that was loaded into a model."""

    path: Path
    method: str  # `lora`, `bitfit` or `houlsby`
    preset: str  # it was trained on
    task: Mapping[str, Any]  # the record of the task it was trained for
    has_head: bool  # whether the head was loaded, too

    def to_line(self) -> str:
        """Returns a line for people."""
        head = "with its head" if self.has_head else "the head is new"
        return f"The adapter goes on from {self.path} ({self.method}, {self.preset}); {head}."


def collect_adapter(encoder, head) -> TrainedAdapter | None:
    """Copies the trained weights of a model; `None` if its encoder has no adapter.

    Call it before `merge_adapter`, which merges them into the frozen weights.
    """
    adapter = adapter_of(encoder)
    if adapter is None:
        return None
    trained = _named(_ENCODER, encoder.trainable_weights) | _named(_HEAD, head.weights)
    return TrainedAdapter(
        adapter.method,
        adapter.settings,
        pooling=encoder.pooling,
        base_checksum=_checksum(encoder.non_trainable_weights),
        values={name: np.asarray(v.numpy(), order="C") for name, v in trained.items()},
    )


def save_adapter(
    folder: str | os.PathLike[str],
    adapter: TrainedAdapter,
    *,
    preset: str,
    task: Mapping[str, Any],
) -> Path:
    """Saves a trained adapter atomically, replacing an earlier one.

    Args:
        folder: The folder; created if missing.
        adapter: From `collect_adapter`.
        preset: Name of the preset it was trained on.
        task: The task's record, for `task_from_record`.

    Returns:
        The folder.

    Raises:
        UserError: If the disk is full, or the folder is not writable.
    """
    facts = {field.name: getattr(adapter, field.name) for field in dataclasses.fields(adapter)}
    values = facts.pop("values")
    return write_arrays(Path(folder), values, {**facts, "preset": preset, "task": task}, _FILES)


def load_adapter(
    folder: str | os.PathLike[str],
    encoder,
    head=None,
    *,
    preset: str | None = None,
    task: Mapping[str, Any] | None = None,
) -> LoadedAdapter:
    """Loads a saved adapter onto the preset that it was trained on.

    Args:
        folder: From `save_adapter`; or a run directory, which keeps its own in `adapter/`.
        encoder: A `kerasft.models.encoder.Encoder` with the pretrained weights: plain, to be
            adapted as the saved one was, or already with such an adapter. Do not use it after an
            error.
        head: The head, whose weights are loaded, too. Defaults to `None`: no head is loaded.
        preset: The encoder's preset, for messages.
        task: Record of the head's task. The head is loaded only if the adapter was trained for the
            same problem type with the same names. `None`: it is loaded, and must fit.

    Raises:
        UserError: If there is no adapter, or it does not belong to this encoder or head.
        DamagedCheckpointError: If it cannot be read.
    """
    path = find_adapter(folder)
    state, values = read_checkpoint(path, _FILES)
    saved, source, saved_task = _parse(path, state, values)
    if adapter_of(encoder) is None:
        add_adapter(encoder, method=saved.method, **saved.settings)
    _check_settings(path, saved, encoder)
    what = _Fit(path, source, preset)
    trained = _named(_ENCODER, encoder.trainable_weights)
    what.check_shapes(_part(saved.values, _ENCODER), trained)
    what.check_base(saved.base_checksum, encoder)
    has_head = head is not None and (task is None or _same_labels(task, saved_task))
    if has_head:
        heads = _named(_HEAD, head.weights)
        what.check_shapes(_part(saved.values, _HEAD), heads)
        trained |= heads
    for name, variable in trained.items():
        variable.assign(saved.values[name])
    if has_head and task is not None:
        _restandardize(head, saved_task)
    return LoadedAdapter(path, saved.method, source, saved_task, has_head)


def find_adapter(folder: str | os.PathLike[str]) -> Path:
    """Returns the adapter's folder: `folder` itself, or `adapter/` of a run directory."""
    path = Path(folder).expanduser()
    for place in (path, path / ADAPTER_FOLDER):
        if any((place / name).exists() for name in _FILES[:2]):
            return place
    if (path / "recipe.toml").is_file():
        raise UserError(
            f"The run {path} has no adapter: it trained without one, or has not come to its end.",
            expected=f"a run with [adapter], which leaves {ADAPTER_FOLDER}/ when it ends",
            fix=f"go on with it first: kerasft run --resume {path}",
        )
    siblings = [other.name for other in path.parent.glob("*/") if other != path]
    raise UserError(
        f"There is no adapter in this folder.{nearest(path.name, siblings)}"
        if path.is_dir()
        else f"There is no such folder.{nearest(path.name, siblings)}",
        received=os.fspath(folder),
        expected=f"a folder with {_FILES.state}, or a run directory that holds one",
    )


class _Fit(NamedTuple):
    """Checks that a saved adapter fits a model."""

    path: Path
    source: str
    preset: str | None

    def check_shapes(self, values: Mapping[str, np.ndarray], variables: Mapping) -> None:
        """Checks that the saved weights have the same names and shapes."""
        there = {name: tuple(value.shape) for name, value in values.items()}
        here = {name: tuple(variable.shape) for name, variable in variables.items()}
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                shapes = f"{there.get(name, 'missing')} there, {here.get(name, 'missing')} here"
                raise self._error(f"First difference: {name} is {shapes}.")

    def check_base(self, checksum: str, encoder) -> None:
        """Checks that the adapter was trained with the same frozen weights."""
        if checksum != _checksum(encoder.non_trainable_weights):
            raise self._error("The encoder's frozen weights are others than it was trained with.")

    def _error(self, difference: str) -> UserError:
        return UserError(
            f"The adapter {self.path} does not belong to this model. {difference}",
            received=f"an adapter of the preset {self.source}",
            expected=f"one of the preset {self.preset}" if self.preset else None,
            fix=f"set model.preset={self.source}; and model.init_from, if it was trained with one.",
        )


def _parse(path: Path, state: Mapping, values: Mapping) -> tuple[TrainedAdapter, str, Mapping]:
    """Returns the saved adapter, its preset and its task's record."""
    names = [f.name for f in dataclasses.fields(TrainedAdapter) if f.name != "values"]
    missing = [name for name in (*names, "preset", "task") if name not in state]
    if missing:
        raise UserError(
            f"{path / _FILES.state} is not one that this version of kerasft can read.",
            received=f"a file without {', '.join(missing)}",
            fix="use the version of kerasft that made it.",
        )
    adapter = TrainedAdapter(**{name: state[name] for name in names}, values=values)
    return adapter, state["preset"], state["task"]


def _check_settings(path: Path, saved: TrainedAdapter, encoder) -> None:
    """Checks that the encoder is adapted as the saved one was."""
    adapter = adapter_of(encoder)
    there = {"adapter.method": saved.method, "model.pooling": saved.pooling}
    here = {"adapter.method": adapter.method, "model.pooling": encoder.pooling}
    if saved.method == adapter.method:
        there |= {f"adapter.{name}": value for name, value in saved.settings.items()}
        here |= {f"adapter.{name}": value for name, value in adapter.settings.items()}
    for name, value in there.items():
        if value != here.get(name) and name.partition(".")[2] not in _MAY_DIFFER:
            raise UserError(
                f"The adapter {path} is of another kind than this model's: {name} differs.",
                received=value,
                expected=f"{here.get(name)!r}, as in this model",
                fix=f"set {name} to what it was trained with.",
            )


def _same_labels(task: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return task["kind"] == other.get("kind") and list(task["label_names"]) == list(
        other.get("label_names", ())
    )


def _restandardize(head, task: Mapping[str, Any]) -> None:
    """Rescales a regression head trained on other targets, so that its outputs stay the same."""
    mean, scale = task.get("target_mean", 0.0), task.get("target_scale", 1.0)
    if (mean, scale) != (head.mean, head.scale):
        ratio = scale / head.scale
        head.logits.kernel.assign(head.logits.kernel * ratio)
        head.logits.bias.assign(head.logits.bias * ratio + (mean - head.mean) / head.scale)


def _named(prefix: str, variables: Iterable) -> dict[str, Any]:
    return {prefix + variable.path: variable for variable in variables}


def _part(values: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name: value for name, value in values.items() if name.startswith(prefix)}


def _checksum(variables: Iterable) -> str:
    """Returns a checksum of the weights and their names."""
    digest = hashlib.blake2b(digest_size=16)
    for variable in sorted(variables, key=lambda variable: variable.path):
        digest.update(variable.path.encode())
        digest.update(np.asarray(variable.numpy(), order="C"))
    return digest.hexdigest()
