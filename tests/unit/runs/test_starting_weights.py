"""What a run starts from: an adapter on a disk, and when none is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.models.adapters.adapter import adapter_of
from kerasft.run_dir import RunDir
from kerasft.runs.train import build_trained_model
from kerasft.training.checkpoints.adapter_file import collect_adapter, save_adapter

LORA = {"adapter.method": "lora", "adapter.rank": 4}


@pytest.fixture
def build(make_context):
    """Builds the model of a recipe."""

    def build(overrides, callbacks=(), resume=None):
        return build_trained_model(make_context(overrides, callbacks=callbacks), resume)

    return build


@pytest.fixture
def run_of(make_recipe, tmp_path):
    """Makes the folder of a run of a recipe, without checkpoints."""

    def make(overrides):
        run_dir = RunDir(tmp_path / "earlier")
        run_dir.write_text("recipe.toml", make_recipe(overrides).to_toml())
        return run_dir.path

    return make


@pytest.fixture
def saved(build, tmp_path):
    """The folder of an adapter whose trained weights are all 0.5."""
    model = build(LORA)
    for variable in model.trainable_weights:
        variable.assign(np.full(variable.shape, 0.5))
    adapter = collect_adapter(model.encoder, model.head)
    task = {"kind": "single", "label_names": ["neg", "pos"]}
    return save_adapter(tmp_path / "mine", adapter, preset="tiny_random", task=task)


def test_the_recipes_adapter_is_built_as_it_says(build):
    settings = {**LORA, "adapter.alpha": 6.0, "adapter.dropout": 0.2, "adapter.matrices": ("key",)}
    adapter = adapter_of(build(settings).encoder)
    expected = {"matrices": ["key"], "rank": 4, "alpha": 6.0, "dropout": 0.2}
    assert (adapter.method, adapter.settings) == ("lora", expected)
    houlsby = {"adapter.method": "houlsby", "adapter.bottleneck_dim": 7}
    assert adapter_of(build(houlsby).encoder).settings == {"bottleneck_dim": 7}
    assert adapter_of(build({}).encoder) is None


def test_an_adapter_is_loaded_and_announced(build, saved, tools):
    messages = tools.Messages()
    model = build({**LORA, "adapter.init_from": str(saved)}, [messages])
    assert all(np.all(variable.numpy() == 0.5) for variable in model.trainable_weights)
    assert messages[-2:] == [
        f"The adapter goes on from {saved} (lora, tiny_random); with its head.",
        next(message for message in messages if message.startswith("Adapter lora: ")),
    ]
    fresh = build(LORA)  # control
    assert not all(np.all(variable.numpy() == 0.5) for variable in fresh.trainable_weights)


def test_a_checkpoint_to_go_on_from_comes_before_an_adapter_that_may_be_gone(build, tmp_path):
    overrides = {**LORA, "adapter.init_from": "no/such/adapter"}
    with pytest.raises(UserError, match=r"There is no such folder.*no/such/adapter"):
        build(overrides)
    resume = RunDir(tmp_path)
    (resume.checkpoints_folder / "step-00000002").mkdir(parents=True)
    build(overrides, resume=resume)


@pytest.mark.parametrize("method", ["lora", "houlsby"])
def test_the_encoder_of_a_run_with_an_adapter_is_no_start_for_another(build, run_of, method):
    run = run_of({"adapter.method": method})
    expected = rf'model\.init_from: .* with adapter\.method="{method}".*adapter\.init_from={run}'
    with pytest.raises(UserError, match=expected):
        build({"model.init_from": str(run)})


def test_the_encoder_of_a_bitfit_run_is_a_plain_one(build, run_of):
    """It is refused for what it lacks, and not for its adapter."""
    run = run_of({"adapter.method": "bitfit"})
    with pytest.raises(UserError, match="has no best checkpoint"):
        build({"model.init_from": str(run)})
