"""Two processes that train together: as one does, and with nothing lost when one of them dies."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasft.run_dir import RunDir, latest_run_dir

PATIENCE_SECONDS = 240
# Batches of 32 of 100 examples: the last has 4, which two processes share; clipping as ever.
SETTINGS = {
    "data.train_examples": 100,
    "data.test_examples": 40,
    "model.sequence_length": 32,
    "model.dropout": 0.0,
    "model.head_dropout": 0.0,
    "training.steps": 10,
    "training.evaluate_every_steps": 5,
    "training.checkpoint_every_steps": 5,
    "training.gradient_accumulation_steps": 2,
    "training.global_clipnorm": 0.5,
    "training.ema_decay": 0.9,
    "training.class_weights": "balanced",
    "training.dtype_policy": "float32",
    "evaluation.bootstrap_resamples": 20,
    "export.verify": False,
}
COMMAND = [sys.executable, "-m", "kerasft.pipelines.imdb", "--recipe", "imdb_sample"]
LAUNCH = [sys.executable, "-m", "kerasft", "launch", "--workers", "2", "--", *COMMAND]


def start(place, *arguments, **settings):
    overrides = [f"{key}={value}" for key, value in {**SETTINGS, **settings}.items()]
    with (place.folder / "output.txt").open("w") as output:
        return subprocess.Popen(
            [*LAUNCH, *(arguments or overrides)],
            cwd=place.folder,
            env={**os.environ, **place.environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def output_of(place) -> str:
    return (place.folder / "output.txt").read_text()


def run_to_the_end(place, *arguments, **settings):
    code = start(place, *arguments, **settings).wait(PATIENCE_SECONDS)
    assert code == 0, output_of(place)
    return latest_run_dir("imdb_sample", place.folder / "runs")


def figures(run_dir, name):
    with run_dir.history_path.open() as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def weights(run_dir, checkpoint):
    return load_file(run_dir.checkpoints_folder / checkpoint / "variables.safetensors")


@pytest.fixture(scope="module")
def of_two(make_place):
    return run_to_the_end(make_place("two"))


def largest_difference(ours, theirs):
    """Of weights and of what the optimizer keeps; what a metric has counted is each process's."""
    names = [name for name in theirs if not re.search(r":(loss|accuracy)/|seed", name)]
    assert len(names) > 30
    return max(np.abs(ours[name] - theirs[name]).max() for name in names)


@pytest.fixture
def run_alone(make_place, run_at):
    """Runs the same in this process alone, perhaps with other settings."""

    def run(name, **settings):
        place = make_place(name)
        return RunDir(place.folder / run_at(place, overrides={**SETTINGS, **settings}).path)

    return run


def test_two_processes_train_as_one_does(run_alone, of_two):
    of_one = run_alone("one")
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(figures(of_two, name), figures(of_one, name), rtol=2e-5)
    for checkpoint in ("step-00000010", "best"):
        ours, theirs = weights(of_two, checkpoint), weights(of_one, checkpoint)
        assert ours.keys() == theirs.keys()
        assert largest_difference(ours, theirs) < 1e-5
    mine, other = (run.read_json("metrics.json")["metrics"] for run in (of_two, of_one))
    assert mine["test/log_loss"] == pytest.approx(other["test/log_loss"], rel=1e-4)
    assert os.listdir(of_two.path.parent) == [of_two.path.name]  # the chief's alone


def test_control_another_norm_of_clipping_ends_elsewhere(run_alone, of_two):
    """As clipping in each process before adding up would: a clipped sum of halves is another."""
    other = run_alone("clipped", **{"training.global_clipnorm": 0.25})
    ours, theirs = (weights(run, "step-00000010") for run in (of_two, other))
    assert largest_difference(ours, theirs) > 1e-3


def test_when_one_dies_all_end_and_a_resumed_run_ends_as_the_undisturbed(make_place, of_two):
    place = make_place("killed")
    process = start(place, **{"training.checkpoint_every_steps": 2})
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(place.folder.glob("runs/*/checkpoints/step-*")):
        assert process.poll() is None, output_of(place)
        assert time.monotonic() < deadline, output_of(place)
        time.sleep(0.01)
    os.kill(worker_of(process.pid), signal.SIGKILL)
    assert process.wait(PATIENCE_SECONDS) in (75, 137), output_of(place)
    run_dir = latest_run_dir("imdb_sample", place.folder / "runs")
    if run_dir.metrics_path.exists():
        pytest.fail("the run was over before its process was killed")
    assert run_to_the_end(place, "--resume") == run_dir
    assert re.search(r"Resuming .* after step \d+", output_of(place))
    ours, theirs = (weights(run, "step-00000010") for run in (run_dir, of_two))
    assert largest_difference(ours, theirs) < 1e-6


def worker_of(launcher: int) -> int:
    """Returns the process id of the launcher's last child: the worker that is not the chief."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(launcher)], capture_output=True, text=True, check=True
    )
    return max(map(int, listed.stdout.split()))
