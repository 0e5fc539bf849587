"""The folder of one run: its name, its files and its lock."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from kerasft.errors import UserError, nearest
from kerasft.run_dir.files import (
    remove_half_written,
    telling_os_errors,
    to_json,
    write_atomically,
)

_STAMP = re.compile(r"(?P<name>.+)-(?P<time>\d{8}-\d{6})(?:-(?P<count>\d+))?")


@dataclasses.dataclass(frozen=True)
class RunDir:
    """The folder of one run."""

    path: Path

    @property
    def recipe_path(self) -> Path:
        """The recipe as it was run, defaults and overrides included."""
        return self.path / "recipe.toml"

    @property
    def metrics_path(self) -> Path:
        """The final metrics, as a flat mapping."""
        return self.path / "metrics.json"

    @property
    def history_path(self) -> Path:
        """One row per step."""
        return self.path / "history.csv"

    @property
    def checkpoints_folder(self) -> Path:
        """Step checkpoints and the best one."""
        return self.path / "checkpoints"

    @property
    def tensorboard_folder(self) -> Path:
        """TensorBoard's event files."""
        return self.path / "tensorboard"

    def write_text(self, name: str, text: str) -> None:
        """Writes a text file of this run atomically."""
        write_atomically(self.path / name, text)

    def write_json(self, name: str, value: Any) -> None:
        """Writes a JSON file of this run atomically; see `to_json`."""
        self.write_text(name, to_json(value, indent=2) + "\n")

    def read_json(self, name: str) -> Any:
        """Reads a JSON file of this run; raises `UserError` if it is missing or damaged."""
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise UserError(
                f"{path} is missing.", fix="The run did not get so far: resume it, or run again."
            ) from error
        except ValueError as error:
            raise UserError(
                f"{path} is damaged: {error}.",
                expected="JSON",
                fix=f"put back a copy, or remove it and resume the run: --resume {self.path}",
            ) from error

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Locks the folder against other processes; the system frees the lock if this one dies.

        Temporary files left by a killed process are removed: none can be in use now.

        Raises:
            UserError: Another run holds the lock.
        """
        path = self.path / ".lock"
        with telling_os_errors(path):
            file = open(path, "a+", encoding="utf-8")  # noqa: SIM115 - closed below
        with file:
            _take_lock(file, self.path)
            remove_half_written(self.path)
            try:
                yield
            finally:
                # The file stays: removing it would let two runs lock two files of one name.
                file.truncate(0)

    def is_in_use(self) -> bool:
        """Returns whether a run is active in this folder now; writes nothing."""
        try:
            with open(self.path / ".lock", encoding="utf-8") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # never locked, or not readable
            return False
        return False


def create_run_dir(name: str, runs_folder: str | os.PathLike[str] = "runs") -> RunDir:
    """Makes `<runs_folder>/<name>-<date>-<time>`; adds `-2`, `-3`, ... if that is taken."""
    folder = Path(runs_folder)
    stamp = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    with telling_os_errors(folder / stamp):
        folder.mkdir(parents=True, exist_ok=True)
        count = 1
        while True:
            path = folder / (stamp if count == 1 else f"{stamp}-{count}")
            try:
                path.mkdir()  # atomic: two runs never get the same folder
            except FileExistsError:
                count += 1
            else:
                return RunDir(path)


def open_run_dir(path: str | os.PathLike[str]) -> RunDir:
    """Opens the folder of an earlier run; raises `UserError` if it is not a run directory."""
    run_dir = RunDir(Path(path))
    if not run_dir.recipe_path.is_file():
        siblings = [found.path.name for found in _stamped(run_dir.path.parent)]
        raise UserError(
            f"This is not a run directory.{nearest(run_dir.path.name, siblings)}",
            received=os.fspath(path),
            expected="a folder with a recipe.toml, such as a run leaves under runs/",
        )
    return run_dir


def latest_run_dir(name: str, runs_folder: str | os.PathLike[str] = "runs") -> RunDir:
    """Opens the newest run of a recipe; raises `UserError` if there is none."""
    found = find_folders(name, "recipe.toml", runs_folder)
    if not found:
        names = sorted({_name_and_time(run_dir)[0] for run_dir in _stamped(Path(runs_folder))})
        raise UserError(
            f"There is no run of this name in {runs_folder}.{nearest(name, names)}",
            received=name,
            expected=f"one of {', '.join(names)}" if names else "a run; there is none at all",
            fix="Start one, or give the run directory itself.",
        )
    return found[-1]


def find_folders(
    name: str, holding: str, runs_folder: str | os.PathLike[str] = "runs"
) -> list[RunDir]:
    """Returns the folders `<name>-<date>-<time>` that contain the file `holding`, newest last."""
    found = _stamped(Path(runs_folder), holding)
    return sorted((f for f in found if _name_and_time(f)[0] == name), key=_name_and_time)


def _take_lock(file: TextIO, folder: Path) -> None:
    """Locks an open file and writes this process's id to it; raises if another holds the lock."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        raise UserError(
            f"The run directory {folder} is in use by another run.",
            received=file.read().strip() or "a process that left no name",
            expected="one run at a time in a directory",
            fix="Wait for it or stop it, or start a new run without --resume.",
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}")
    file.flush()


def _stamped(folder: Path, holding: str = "recipe.toml") -> list[RunDir]:
    found = [RunDir(path.parent) for path in folder.glob(f"*/{holding}")]
    return [run_dir for run_dir in found if _STAMP.fullmatch(run_dir.path.name)]


def _name_and_time(run_dir: RunDir) -> tuple[str, str, int]:
    match = _STAMP.fullmatch(run_dir.path.name)
    return match["name"], match["time"], int(match["count"] or 1)
