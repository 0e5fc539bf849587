"""What the smoke tests share: a place to run in, quick settings, and a reader of TensorBoard."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from kerasft.run_dir import RunDir, latest_run_dir

# Few enough steps for seconds, with more than one epoch and more than one evaluation.
QUICK = {
    "data.train_examples": 160,
    "data.test_examples": 80,
    "model.sequence_length": 32,
    "training.steps": 30,
    "training.batch_size": 16,
    "evaluation.bootstrap_resamples": 20,
    "export.verify": False,  # a process of its own; test_imdb_sample has one
    "logging.plots": False,  # as little of what others test
}


COMMAND = [sys.executable, "-m", "kerasft.pipelines.imdb", "--recipe", "imdb_sample"]
PATIENCE_SECONDS = 240
# What depends on the clock.
TIMED = ("seconds", "per_second", "data_wait_share", "gigabytes")


class Place(NamedTuple):
    """An empty folder to run in, and the environment variables that keep a run inside."""

    folder: Path
    environment: dict[str, str]

    def start(self, *arguments: str, before: Sequence[str] = ()) -> subprocess.Popen:
        """Starts the command as a shell does: it gets its own signals, and its output is kept."""
        return self._start([*before, *COMMAND, *arguments])

    def start_line(self, line: str) -> subprocess.Popen:
        """Starts a line that a command has told people to enter."""
        return self._start(f"exec {line}", shell=True)

    def _start(self, command: Sequence[str] | str, **options) -> subprocess.Popen:
        with (self.folder / "output.txt").open("w") as output:
            return subprocess.Popen(
                command,
                **options,
                cwd=self.folder,
                env={**os.environ, **self.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run_to_the_end(self, *arguments: str, before: Sequence[str] = ()) -> RunDir:
        """Runs the command; returns its run directory."""
        code = self.start(*arguments, before=before).wait(PATIENCE_SECONDS)
        assert code == 0, self.output
        return self.run_dir

    def wait_until(self, happened: Callable[[], object], process: subprocess.Popen) -> None:
        """Waits until something has happened, while a process goes on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not happened():
            assert process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.005)

    @property
    def output(self) -> str:
        """What the command wrote, of both streams."""
        return (self.folder / "output.txt").read_text()

    @property
    def run_dir(self) -> RunDir:
        """Of the latest run."""
        return latest_run_dir("imdb_sample", self.folder / "runs")


@pytest.fixture(scope="session")
def make_place(tmp_path_factory):
    """Makes places to run in; they share the cache of tokens."""
    cache = str(tmp_path_factory.getbasetemp() / "cache")  # that of tests/conftest.py
    return lambda name: Place(tmp_path_factory.mktemp(name), {"KERASFT_CACHE": cache})


@pytest.fixture
def quick():
    """Settings that make a run of `imdb_sample` take seconds."""
    return QUICK


@pytest.fixture(scope="session")
def run_at():
    """Runs a recipe in this process, at a place of its own."""
    import kerasft

    def run(place, recipe="imdb_sample", overrides=None):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(place.folder)
            for name, value in place.environment.items():
                patch.setenv(name, value)
            return kerasft.run(recipe, overrides or {})

    return run


@pytest.fixture(scope="session")
def read_scalars():
    """Reads TensorBoard's events: `{"train/step/loss": [(step, value), ...], ...}`."""

    def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
        scalars = defaultdict(list)
        for path in sorted(folder.rglob("*tfevents*")):
            for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
                event = tf.compat.v1.Event.FromString(record)
                for value in event.summary.value:
                    content = tf.make_ndarray(value.tensor).tolist()
                    scalars[f"{path.parent.name}/{value.tag}"].append((event.step, content))
        return dict(scalars)

    return read


@pytest.fixture
def command_at(monkeypatch, capsys):
    """Runs a pipeline's command in this process, at a place; returns exit code and stderr."""

    def run(place, pipeline, *arguments: str) -> tuple[int, str]:
        monkeypatch.chdir(place.folder)
        for name, value in place.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", [pipeline.__name__, *arguments])
        return pipeline.main(), capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def results(read_scalars):
    """Reads all that a run leaves and that its clock has no part in, part by part."""

    def read(run_dir: RunDir) -> dict[str, object]:
        checkpoints = run_dir.checkpoints_folder
        with run_dir.history_path.open() as file:
            history = [_untimed(row) for row in csv.DictReader(file)]
        recorded = run_dir.read_json("metrics.json")
        last = max(checkpoints.glob("step-*"))
        predictions = np.load(run_dir.path / "predictions-test.npz")
        return {
            "best": (checkpoints / "best" / "variables.safetensors").read_bytes(),
            "last": (last / "variables.safetensors").read_bytes(),
            "checkpoints": sorted(path.name for path in checkpoints.iterdir()),
            "files": sorted(path.name for path in run_dir.path.iterdir()),
            "state": _untimed(json.loads((last / "state.json").read_text())),
            "metrics": recorded["metrics"],
            "train": _untimed(recorded["train"]),
            "history": history,
            "tensorboard": _untimed(read_scalars(run_dir.tensorboard_folder)),
            "logits": predictions["logits"].tobytes(),
            "recipe": run_dir.recipe_path.read_text(),
            "resolved": (run_dir.path / "resolved.toml").read_text(),
        }

    return read


@pytest.fixture(scope="session")
def differing():
    """Names the parts in which two runs' results differ, rather than showing megabytes."""
    return lambda ours, theirs: [name for name in theirs if ours[name] != theirs[name]]


def _untimed(values: dict) -> dict:
    return {name: value for name, value in values.items() if not name.endswith(TIMED)}
