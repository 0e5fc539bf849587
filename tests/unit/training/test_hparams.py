"""TensorBoard's HParams, read back as its own plugin reads them."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS

from kerasft.training.callbacks.hparams import FOLDER, HParamsCallback
from kerasft.training.callbacks.tensorboard import rewind_tensorboard

SETTINGS = {"training.learning_rate": 5e-5, "model.preset": "tiny", "data.oversample": True}
WORSE, BETTER = {"accuracy": 0.5, "log_loss": 0.7}, {"accuracy": 0.75, "log_loss": 0.6}


def start(folder, settings=SETTINGS, start_step=0):
    events = HParamsCallback(folder, name="run-1", settings=settings, metrics=("accuracy",))
    events.on_start(start_step=start_step, total_steps=9, steps_per_epoch=3)
    return events


def read(folder):
    """Returns the session's start, its end, and the metrics `{tag: [(step, value), ...]}`."""
    found = EventAccumulator(str(folder / FOLDER))
    found.Reload()
    contents = {
        tag: found.SummaryMetadata(tag).plugin_data.content
        for tag in found.Tags()["tensors"]
        if tag.startswith("_hparams_")
    }
    begun = metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG])
    end = contents.get(metadata.SESSION_END_INFO_TAG)
    if end is not None:
        end = metadata.parse_session_end_info_plugin_data(end)
    metrics = {
        tag: [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
        if tag not in contents
    }
    return begun, end, metrics


def values_of(begun):
    return {name: getattr(v, v.WhichOneof("kind")) for name, v in begun.hparams.items()}


def test_a_run_has_its_settings_and_its_metrics(tmp_path):
    events = start(tmp_path)
    events.on_evaluation("validation", 3, BETTER, best=True)
    events.on_evaluation("validation", 6, WORSE, best=False)
    begun, end, metrics = read(tmp_path)
    assert (begun.group_name, values_of(begun)) == ("run-1", SETTINGS)
    assert end is None  # it is still going on
    assert metrics == {"validation/accuracy": [(3, 0.75)]}
    events.on_results(6, {"validation/accuracy": 0.75, "test/accuracy": 0.25, "test/f1/neg": 0.1})
    events.close()
    _, end, metrics = read(tmp_path)
    assert end.status == STATUS_SUCCESS
    assert metrics == {"validation/accuracy": [(3, 0.75), (6, 0.75)], "test/accuracy": [(6, 0.25)]}


def test_a_resumed_run_has_the_settings_that_it_goes_on_with(tmp_path):
    events = start(tmp_path)
    events.on_evaluation("validation", 3, WORSE, best=True)
    events.on_evaluation("validation", 6, BETTER, best=True)
    events.close()
    rewind_tensorboard(tmp_path, 3)
    changed = {**SETTINGS, "training.learning_rate": 1e-3}
    events = start(tmp_path, changed, start_step=3)
    events.on_evaluation("validation", 6, BETTER, best=True)
    events.close()
    begun, _, metrics = read(tmp_path)
    assert values_of(begun) == changed
    assert metrics == {"validation/accuracy": [(3, 0.5), (6, 0.75)]}


def test_closing_twice_does_nothing(tmp_path):
    events = start(tmp_path)
    events.on_evaluation("validation", 3, WORSE, best=True)
    events.close()
    events.close()
    assert read(tmp_path)[2] == {"validation/accuracy": [(3, pytest.approx(0.5))]}
