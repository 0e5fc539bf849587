"""Two processes that train together: as one does, and with nothing lost when one of them dies."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from kerasft.run_dir import RunDir
from kerasft.training.callbacks.history import read_history
from kerasft.training.distribution.launch import free_ports

pytestmark = pytest.mark.slow

PATIENCE_SECONDS = 240
# Batches of 32 of 100 examples: the last has 4, which two processes share; clipping as ever.
SETTINGS = {
    "data.train_examples": 100,
    "data.test_examples": 41,
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
    "evaluation.batch_size": 8,
    "evaluation.bootstrap_resamples": 20,
    "export.verify": False,
    "logging.plots": False,
    "logging.norms_every_steps": 5,
    "logging.projector_texts": 7,
}
LAUNCH = [sys.executable, "-m", "kerasft", "launch", "--workers", "2", "--"]
# It evaluates after each step, text by text: a process that is killed mostly dies in that.
LORA = {
    "adapter.method": "lora",
    "training.learning_rate": 0.01,
    "training.evaluate_every_steps": 1,
    "training.checkpoint_every_steps": 2,
    "evaluation.batch_size": 1,
}


def overrides(**more):
    return [f"{key}={str(value).lower()}" for key, value in {**SETTINGS, **more}.items()]


def figures(run_dir, name):
    with run_dir.history_path.open() as file:
        return [float(row[name]) for row in csv.DictReader(file)]


def weights(run_dir, checkpoint):
    return load_file(run_dir.checkpoints_folder / checkpoint / "variables.safetensors")


@pytest.fixture(scope="module")
def of_two(make_place):
    return make_place("two").run_to_the_end(*overrides(), before=LAUNCH)


def largest_difference(ours, theirs):
    """Of weights and of what the optimizer keeps; what a metric has counted is each process's."""
    names = [name for name in theirs if not re.search(r":(loss|accuracy)/|seed", name)]
    assert len(names) > 30
    return max(np.abs(ours[name] - theirs[name]).max() for name in names)


@pytest.fixture(scope="module")
def run_alone(make_place, run_at):
    """Runs the same in this process alone, perhaps with other settings."""

    def run(name, **settings):
        place = make_place(name)
        return RunDir(place.folder / run_at(place, overrides={**SETTINGS, **settings}).path)

    return run


@pytest.fixture(scope="module")
def of_one(run_alone):
    return run_alone("one")


def test_two_processes_train_as_one_does(of_one, of_two):
    for name in ("loss", "gradient_norm"):
        np.testing.assert_allclose(figures(of_two, name), figures(of_one, name), rtol=2e-5)
    for checkpoint in ("step-00000010", "best"):
        ours, theirs = weights(of_two, checkpoint), weights(of_one, checkpoint)
        assert ours.keys() == theirs.keys()
        assert largest_difference(ours, theirs) < 1e-5
    mine, other = (run.read_json("metrics.json")["metrics"] for run in (of_two, of_one))
    assert mine["test/log_loss"] == pytest.approx(other["test/log_loss"], rel=1e-4)
    assert os.listdir(of_two.path.parent) == [of_two.path.name]  # the chief's alone


def test_a_chief_and_a_worker_train_as_one_process_does(make_place, of_one):
    """The task types that TensorFlow also takes, where the chief is the first process."""
    place = make_place("chief")
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    cluster = {"chief": addresses[:1], "worker": addresses[1:]}
    processes = []
    for kind in ("worker", "chief"):
        config = json.dumps({"cluster": cluster, "task": {"type": kind, "index": 0}})
        one = place._replace(environment={**place.environment, "TF_CONFIG": config})
        processes.append(one.start(*overrides()))
    assert [process.wait(PATIENCE_SECONDS) for process in processes] == [0, 0], place.output
    ours, theirs = (weights(run, "step-00000010") for run in (place.run_dir, of_one))
    assert largest_difference(ours, theirs) < 1e-5
    logits = [
        np.load(run.path / "predictions-test.npz")["logits"] for run in (place.run_dir, of_one)
    ]
    np.testing.assert_allclose(*logits, atol=1e-5)  # rows in order
    assert os.listdir(place.run_dir.path.parent) == [place.run_dir.path.name]


def test_control_another_norm_of_clipping_ends_elsewhere(run_alone, of_two):
    """As clipping in each process before adding up would: a clipped sum of halves is another."""
    other = run_alone("clipped", **{"training.global_clipnorm": 0.25})
    ours, theirs = (weights(run, "step-00000010") for run in (of_two, other))
    assert largest_difference(ours, theirs) > 1e-3


def test_two_processes_evaluate_as_one_does(of_one, of_two):
    """Each forwards half of a batch, also of the last, of one text: all see all, in order."""
    ours, theirs = (np.load(run.path / "predictions-test.npz") for run in (of_two, of_one))
    np.testing.assert_array_equal(ours["labels"], theirs["labels"])
    assert len(theirs["logits"]) == SETTINGS["data.test_examples"]
    np.testing.assert_allclose(ours["logits"], theirs["logits"], atol=1e-5)
    control = np.abs(ours["logits"] - np.roll(theirs["logits"], 1, axis=0))
    assert control.max() > 1e-4
    for name in ("validation/log_loss", "validation/accuracy"):
        rows = [[row[name] for row in read_history(run.history_path)] for run in (of_two, of_one)]
        evaluated = [[value for value in values if value is not None] for values in rows]
        np.testing.assert_allclose(*evaluated, rtol=1e-5)


def test_two_processes_measure_and_project_as_one_does(of_one, of_two, read_scalars):
    ours, theirs = (
        {
            tag: values
            for tag, values in read_scalars(run.tensorboard_folder).items()
            if tag.startswith(("train/weight_norm", "train/gradient_norm"))
        }
        for run in (of_two, of_one)
    )
    assert ours.keys() == theirs.keys()
    for tag, values in theirs.items():
        assert [step for step, _ in values] == [1, 5, 10]
        np.testing.assert_allclose(ours[tag], values, rtol=1e-4)
    points = [
        np.loadtxt(run.tensorboard_folder / "validation" / "projector_vectors.tsv")
        for run in (of_two, of_one)
    ]
    assert len(points[1]) == 7
    np.testing.assert_allclose(*points, atol=1e-4)
    assert np.abs(points[0] - points[1][::-1]).max() > 1e-3  # a control: another order


def test_when_one_dies_all_end_and_a_resumed_lora_ends_as_that_of_one_process(
    make_place, run_alone
):
    place = make_place("killed")
    process = place.start(*overrides(**LORA), before=LAUNCH)
    place.wait_until(lambda: list(place.folder.glob("runs/*/checkpoints/step-*")), process)
    os.kill(worker_of(process.pid), signal.SIGKILL)
    assert process.wait(PATIENCE_SECONDS) in (75, 137), place.output
    if place.run_dir.metrics_path.exists():
        pytest.fail("the run was over before its process was killed")
    run_dir = place.run_to_the_end("--resume", before=LAUNCH)
    assert re.search(r"Resuming .* after step \d+", place.output)
    assert "within rounding" not in place.output  # as many processes as before
    ours, theirs = (weights(run, "step-00000010") for run in (run_dir, run_alone("lora", **LORA)))
    assert any(name.endswith("lora_b") for name in theirs)
    assert largest_difference(ours, theirs) < 1e-5


def worker_of(launcher: int) -> int:
    """Returns the process id of the launcher's last child: the worker that is not the chief."""
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(launcher)], capture_output=True, text=True, check=True
    )
    return max(map(int, listed.stdout.split()))
