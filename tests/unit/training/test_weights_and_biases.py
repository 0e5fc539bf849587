"""Weights & Biases through a client that only writes down: names and steps are TensorBoard's."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types

import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.training.callbacks.callback import BatchStats, Callbacks, StepResult
from kerasft.training.callbacks.tensorboard import TensorBoardCallback
from kerasft.training.callbacks.wandb import WandbCallback, require_wandb

STATS = BatchStats(examples=32, tokens=3000, positions=4000, busy=4000, capacity=5000, altered=8)
VALIDATION = {"accuracy": 0.875, "log_loss": 0.25, "f1/neg": 0.75, "support/neg": 40.0}
SETTINGS = {"training.learning_rate": 5e-5, "model.init_from": None}


class Client(types.ModuleType):
    """As much of wandb as is used."""

    class Error(Exception):
        pass

    def __init__(self):
        super().__init__("wandb")
        self.begun, self.logged, self.summary, self.finished = [], {}, {}, 0

    def init(self, **options):
        if options["project"] == "without a login":
            raise self.Error("api_key not configured")
        self.begun.append(options)
        return self

    def log(self, values, *, step):
        for name, value in values.items():
            assert (name, step) not in self.logged
            self.logged[name, step] = pytest.approx(value)

    def finish(self):
        self.finished += 1


@pytest.fixture
def client(monkeypatch):
    client = Client()
    monkeypatch.setitem(sys.modules, "wandb", client)
    return client


def run(listener):
    listener.on_evaluation("validation", 0, VALIDATION, best=False)  # before training: not told
    listener.on_start(start_step=0, total_steps=2, steps_per_epoch=2)
    for step in (1, 2):
        norms = {"weight_norm/head": 1.5} if step == 1 else {}
        listener.on_step(StepResult(step, 1 / step, 1e-4, 2.5, 0.5, {}, 0.125, norms), STATS)
    listener.on_epoch(1, 2, {"loss": 0.5, "accuracy": 0.625})
    listener.on_evaluation("validation", 2, VALIDATION, best=True)
    listener.on_evaluation("test", 2, VALIDATION, best=False)
    listener.on_results(2, {"test/accuracy": 0.875})
    listener.close()


def read_tensorboard(folder):
    values = {}
    for path in folder.rglob("*tfevents*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                if value.tag != "recipe" and event.step > 0:
                    name = f"{path.parent.name}/{value.tag}"
                    values[name, event.step] = tf.make_ndarray(value.tensor).tolist()
    return values


def test_names_and_steps_are_those_of_tensorboard(client, tmp_path):
    wandb = WandbCallback("films", run_id="run-1", folder=tmp_path, settings=SETTINGS)
    run(Callbacks([TensorBoardCallback(tmp_path / "tensorboard", ""), wandb]))
    expected = read_tensorboard(tmp_path / "tensorboard")
    timed = ("train/memory/resident_gigabytes",)
    assert client.logged.keys() == expected.keys()
    assert {k: v for k, v in client.logged.items() if k[0] not in timed} == {
        k: v for k, v in expected.items() if k[0] not in timed
    }
    assert expected["train/step/loss", 2] == 0.5
    assert expected["validation/epoch/loss", 2] == 0.25
    assert client.logged["train/step/loss", 1] != 0.5  # a control
    assert client.summary == {"test/accuracy": 0.875}
    assert client.finished == 1
    [options] = client.begun
    assert options == {
        "project": "films",
        "id": "run-1",
        "name": "run-1",
        "resume": "allow",
        "dir": str(tmp_path),
        "config": SETTINGS,
    }


def test_a_client_that_cannot_is_told_in_words(client, tmp_path):
    events = WandbCallback("without a login", run_id="r", folder=tmp_path, settings={})
    with pytest.raises(UserError, match="cannot be told of the run: api_key not configured"):
        events.on_start(start_step=0, total_steps=2, steps_per_epoch=2)
    events.close()
    assert not client.finished


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'kerasft\[wandb\]'"):
        require_wandb()


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="needs the extra wandb")
def test_the_real_client_takes_it_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    run(WandbCallback("films", run_id="run-1", folder=tmp_path, settings=SETTINGS))
    importlib.import_module("wandb").teardown()  # its own process writes until it ends
    [folder] = tmp_path.glob("wandb/offline-run-*-run-1")
    [recorded] = folder.glob("*.wandb")
    assert b"weight_norm/head" in recorded.read_bytes()
