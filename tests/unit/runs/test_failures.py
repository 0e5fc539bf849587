"""A run whose memory runs out says how to resume it, and resumed so it ends."""

from __future__ import annotations

import re
import shlex
from types import SimpleNamespace

import pytest
import tensorflow as tf

from kerasft.cli import run as run_command
from kerasft.evaluation import forward as forward_module
from kerasft.run_dir import RunDir
from kerasft.runs import train
from kerasft.runs.failures import advising_memory
from kerasft.training.checkpoints.checkpoint import latest_step
from kerasft.training.distribution.workers import Cluster, Workers
from kerasft.training.loop import fit as fit_module
from kerasft.training.loop.memory import OutOfMemoryError

NO_ROOM = [2**30, 2**20]  # floats: more bytes than a process can address
ALONE = Cluster()
OFTEN = {"training.checkpoint_every_steps": 1, "training.evaluate_every_steps": 2}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overrides_of(message):
    """Splits the command that a message names: the run, and the settings."""
    _, arguments = re.search(
        r"go on with (.*?) run --resume (.*?)(?:, and if|; or)", message
    ).groups()
    run, *settings = shlex.split(arguments)
    return run, settings


def test_out_of_memory_in_a_step_and_on_in_parts(here, make_recipe, monkeypatch):
    """The checkpoint is of lazily updated rows; a batch in parts updates all of them."""
    train_steps = fit_module.train_steps
    parts = []

    def short_of_memory(model, *arguments, **options):
        parts.append(model.accumulation_steps)
        for result in train_steps(model, *arguments, **options):
            if result.step == 3 and model.accumulation_steps == 1:
                tf.fill(NO_ROOM, 1.0)
            yield result

    monkeypatch.setattr(fit_module, "train_steps", short_of_memory)
    expected = r"in step 3, a batch of 8 texts and \d+ tokens with padding.*4,194,304\.00 GiB"
    with pytest.raises(OutOfMemoryError, match=expected) as caught:
        train.run(make_recipe(OFTEN))
    (folder,) = (here / "runs").iterdir()
    assert latest_step(folder / "checkpoints") == 2
    run, settings = overrides_of(str(caught.value))
    assert settings == ["training.gradient_accumulation_steps=4"]
    assert "if that is not enough performance.gradient_checkpointing=true" in str(caught.value)
    run_command.main(["--resume", run, *settings])
    assert parts == [1, 4]
    assert (folder / "metrics.json").exists()


@pytest.mark.slow
def test_out_of_memory_in_an_evaluation(here, make_recipe, monkeypatch):
    call = forward_module.Forward.__call__

    def short_of_memory(self, inputs):
        if inputs["token_ids"].shape[0] > 16:  # short texts make up larger batches
            tf.fill(NO_ROOM, 1.0)
        return call(self, inputs)

    monkeypatch.setattr(forward_module.Forward, "__call__", short_of_memory)
    with pytest.raises(
        OutOfMemoryError, match=r"in an evaluation, a batch of 20 x 16 tok"
    ) as caught:
        train.run(make_recipe({**OFTEN, "evaluation.batch_size": 16}))
    run, settings = overrides_of(str(caught.value))
    assert settings == ["evaluation.batch_size=4"]
    run_command.main(["--resume", run, *settings])


@pytest.mark.parametrize(
    ("overrides", "changes"),
    [
        ({}, ["training.gradient_accumulation_steps=4", "performance.gradient_checkpointing=true"]),
        (
            {"training.gradient_accumulation_steps": 4, "performance.gradient_checkpointing": True},
            ["training.gradient_accumulation_steps=8"],
        ),
        ({"training.gradient_accumulation_steps": 8}, ["performance.gradient_checkpointing=true"]),
        ({"freezing.encoder": True}, ["training.gradient_accumulation_steps=4"]),
        ({"training.jit_compile": True, "performance.kernels": False}, []),
        ({"training.batch_size": 1, "performance.gradient_checkpointing": True}, []),
    ],
)
def test_only_what_helps_and_may_stand_beside_the_rest_is_named(advice, overrides, changes):
    told = advice({"training.batch_size": 8, **overrides})
    assert re.findall(r"(?:training|performance)\.gradient_\w+=\w+", told) == changes
    assert ("--resume" in told) is bool(changes)
    assert "start a new run with a smaller training.batch_size, training.sequence_length" in told


@pytest.fixture
def advice(make_recipe, tmp_path):
    """Returns the advice for a run of a recipe: nothing else of its context is read."""

    def advise(overrides, cluster=ALONE, in_evaluation=False):
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        context = SimpleNamespace(
            recipe=make_recipe(overrides), strategy=strategy, workers=Workers(strategy, cluster)
        )
        with pytest.raises(OutOfMemoryError) as caught, advising_memory(context, RunDir(tmp_path)):
            raise OutOfMemoryError("1 GiB", "step 1", "", in_evaluation=in_evaluation)
        return str(caught.value)

    return advise


def test_an_evaluation_of_single_texts_has_nothing_to_give(advice):
    told = advice({"evaluation.batch_size": 1}, in_evaluation=True)
    assert "Fix: start a new run with" in told


@pytest.mark.parametrize(
    ("index", "launched", "command"),
    [
        (0, True, "launch --workers 2 -- kerasft run --resume"),
        (1, True, "the same command in all processes, with --resume and training.gradient"),
        (0, False, "the same command in all processes, with --resume and training.gradient"),
    ],
)
def test_several_processes(advice, monkeypatch, index, launched, command):
    if launched:
        monkeypatch.setenv("KERASFT_LAUNCHED_WORKERS", "2")
    told = advice({}, Cluster(2, index)).replace(".venv/bin/", "")
    assert command in re.sub(r"\S*/kerasft", "kerasft", told)
