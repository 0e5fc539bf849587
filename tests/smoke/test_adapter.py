"""Runs with an adapter, from recipe to SavedModel: merged where it can be, and kept apart."""

from __future__ import annotations

import json
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.errors import UserError
from kerasft.export.options import Quantization
from kerasft.export.saved_model import ExportOptions
from kerasft.recipe import load_recipe
from kerasft.run_dir import open_run_dir
from kerasft.runs import train
from kerasft.runs.evaluate import evaluate_run
from kerasft.runs.export import export_run
from kerasft.training.callbacks.callback import Callback

pytestmark = pytest.mark.slow

QUICK = {
    "data.train_examples": 64,
    "model.sequence_length": 16,
    "training.steps": 6,
    "training.batch_size": 16,
    "training.learning_rate": 0.01,
    "training.dtype_policy": "float32",
    "evaluation.bootstrap_resamples": 10,
    "logging.plots": False,
    "export.verify": False,
}
LORA = {"adapter.method": "lora", "adapter.rank": 4, "adapter.matrices": ("query", "feedforward")}
HOULSBY = {"adapter.method": "houlsby", "adapter.bottleneck_dim": 8}


class Messages(list, Callback):
    on_message = list.append


class Finished(NamedTuple):
    run: object
    messages: list[str]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("adapter_run")


@pytest.fixture(scope="module")
def run_at(place):
    """Runs `imdb_sample` with few steps; each kind of run once."""
    finished = {}

    def run(overrides):
        key = str(overrides)
        if key not in finished:
            messages = Messages()
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(place)
                patch.setenv("KERASFT_CACHE", str(place / "cache"))
                recipe = load_recipe("imdb_sample", {**QUICK, **overrides})
                finished[key] = Finished(train.run(recipe, callbacks=[messages]), list(messages))
        return finished[key]

    return run


@pytest.fixture
def here(place, monkeypatch):
    """Stands in the folder that the runs were made in."""
    monkeypatch.chdir(place)
    return place


def variables_of(saved_model):
    loaded = tf.saved_model.load(str(saved_model))
    return sorted(tuple(variable.shape) for variable in loaded.model_variables)


def answers(saved_model):
    texts = [text for text, _ in iterate_builtin_sample("test")]
    signature = tf.saved_model.load(str(saved_model)).signatures["serving_default"]
    return signature(text=tf.constant(texts))["logits"].numpy()


def predictions(run):
    saved = np.load(run.path / "predictions-test.npz")
    return saved["logits"]


def test_an_exported_lora_has_the_variables_of_a_plain_model(here, run_at):
    plain, lora, houlsby = (run_at(kind).run for kind in ({}, LORA, HOULSBY))
    expected = variables_of(plain.saved_model)
    assert variables_of(lora.saved_model) == expected
    # Control: what cannot be merged is there. Two layers with two adapters of four weights each.
    assert len(variables_of(houlsby.saved_model)) == len(expected) + 2 * 2 * 4


@pytest.mark.parametrize("overrides", [LORA, HOULSBY, {"adapter.method": "bitfit"}])
def test_the_exported_model_answers_as_it_was_evaluated(here, run_at, overrides):
    run = run_at(overrides).run
    expected = predictions(run)
    assert np.abs(answers(run.saved_model) - expected).max() < 1e-5
    assert np.ptp(expected, axis=0).min() > 0.01  # control: there is something to be different in


def test_it_learnt_something(here, run_at):
    """The adapter's part, not only the head's: the best weights' B is not zero."""
    run = run_at(LORA).run
    saved = load_file(run.path / "adapter" / "adapter.safetensors")
    b = [value for name, value in saved.items() if name.endswith("lora_b")]
    assert len(b) == 2 * 3
    assert min(np.abs(value).max() for value in b) > 1e-3


def test_the_share_is_announced(here, run_at):
    line = next(m for m in run_at(LORA).messages if m.startswith("Adapter lora: "))
    num_trained = 2 * 4 * ((64 + 64) + 2 * (64 + 128))
    assert f"Adapter lora: {num_trained:,} of the encoder's " in line
    assert not [m for m in run_at({}).messages if m.startswith("Adapter")]


def test_a_run_keeps_its_adapter_apart(here, run_at):
    folder = run_at(LORA).run.path / "adapter"
    assert sorted(p.name for p in folder.iterdir()) == ["adapter.json", "adapter.safetensors"]
    assert not (run_at({}).run.path / "adapter").exists()


@pytest.mark.parametrize("overrides", [LORA, HOULSBY])
def test_evaluating_and_exporting_again_give_the_same(here, run_at, overrides):
    run = run_at(overrides).run
    run_dir = open_run_dir(run.path)
    again = evaluate_run(run_dir)
    assert again == {k: v for k, v in run.metrics.items() if k.startswith("test/")}
    exported = export_run(run_dir, name="again")
    assert variables_of(exported) == variables_of(run.saved_model)
    assert np.abs(answers(exported) - answers(run.saved_model)).max() < 1e-6


@pytest.mark.parametrize(("overrides", "verify"), [(LORA, True), (HOULSBY, False)])
def test_an_export_in_bfloat16_answers_nearly_alike(here, run_at, overrides, verify):
    run = run_at(overrides).run
    lines = Messages()
    exported = export_run(
        open_run_dir(run.path),
        [lines],
        "half",
        options=ExportOptions(verify=verify),
        quantization=Quantization("bfloat16", max_loss=1.0),
    )
    record = json.loads((exported / "assets.extra" / "kerasft.json").read_text())
    assert record["compute_dtype"] == record["metadata"]["quantization"]["method"] == "bfloat16"
    assert not verify or record["verified"]["texts"] > 0
    assert any(line.startswith("Quantized to bfloat16: validation/") for line in lines)
    difference = np.abs(answers(exported) - answers(run.saved_model)).max()
    assert 0 < difference < 0.05


@pytest.mark.parametrize(
    ("overrides", "dtype_policy"), [(LORA, "mixed_bfloat16"), (HOULSBY, "float32")]
)
def test_a_run_goes_on_from_an_earlier_ones_adapter(here, run_at, overrides, dtype_policy):
    """With a learning rate that moves next to nothing, the answers are those of the first run."""
    first = run_at(overrides).run
    still = {
        "training.learning_rate": 1e-9,
        "training.steps": 1,
        "training.dtype_policy": dtype_policy,
        "export.enabled": False,
    }
    second = run_at({**overrides, **still, "adapter.init_from": str(first.path)})
    assert np.abs(predictions(second.run) - predictions(first)).max() < 1e-4
    fresh = run_at({**overrides, **still}).run
    assert np.abs(predictions(fresh) - predictions(first)).max() > 1e-2  # control
    line = next(m for m in second.messages if m.startswith("The adapter goes on from"))
    assert line.endswith("with its head.")


def test_a_lora_beside_an_earlier_runs_encoder(here, run_at):
    """`model.init_from` loads what was there before the adapter; its adapter asks for the same."""
    first = run_at({}).run
    lora = {**LORA, "training.steps": 2, "export.enabled": False}
    second = run_at({**lora, "model.init_from": str(first.path)})
    assert any(m.startswith("The encoder goes on from") for m in second.messages)
    adapter = str(second.run.path / "adapter")
    with pytest.raises(UserError, match=r"frozen weights are others.*and model\.init_from"):
        run_at({**lora, "adapter.init_from": adapter})
    both = {"model.init_from": str(first.path), "adapter.init_from": adapter}
    messages = run_at({**lora, **both}).messages
    assert sum("goes on from" in message for message in messages) == 2
