"""What a run starts from: an adapter on a disk, and when none is asked for."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.models.adapters.adapter import adapter_of
from kerasft.training.callbacks.callback import Callback
from kerasft.training.checkpoints.adapter_file import collect_adapter, save_adapter

LORA = {"adapter.method": "lora", "adapter.rank": 4}


class Messages(list, Callback):
    on_message = list.append


@pytest.fixture
def load(make_session):
    """Loads a session of a recipe; returns it, its model still to be built."""

    def load(overrides, callbacks=()):
        session = make_session(overrides, callbacks=callbacks)
        session.load()
        return session

    return load


@pytest.fixture
def saved(load, tmp_path):
    """The folder of an adapter whose trained weights are all 0.5."""
    model = load(LORA).build_model()
    for variable in model.trainable_weights:
        variable.assign(np.full(variable.shape, 0.5))
    adapter = collect_adapter(model.encoder, model.head)
    task = {"kind": "single", "label_names": ["neg", "pos"]}
    return save_adapter(tmp_path / "mine", adapter, preset="tiny_random", task=task)


def test_the_recipes_adapter_is_built_as_it_says(load):
    settings = {**LORA, "adapter.alpha": 6.0, "adapter.dropout": 0.2, "adapter.matrices": ("key",)}
    adapter = adapter_of(load(settings).build_model().encoder)
    expected = {"matrices": ["key"], "rank": 4, "alpha": 6.0, "dropout": 0.2}
    assert (adapter.method, adapter.settings) == ("lora", expected)
    houlsby = {"adapter.method": "houlsby", "adapter.bottleneck_dim": 7}
    assert adapter_of(load(houlsby).build_model().encoder).settings == {"bottleneck_dim": 7}
    assert adapter_of(load({}).build_model().encoder) is None


def test_an_adapter_is_loaded_and_announced(load, saved):
    messages = Messages()
    model = load({**LORA, "adapter.init_from": str(saved)}, [messages]).build_model()
    assert all(np.all(variable.numpy() == 0.5) for variable in model.trainable_weights)
    assert messages[-2:] == [
        f"The adapter goes on from {saved} (lora, tiny_random); with its head.",
        next(message for message in messages if message.startswith("Adapter lora: ")),
    ]
    fresh = load(LORA).build_model()  # control
    assert not all(np.all(variable.numpy() == 0.5) for variable in fresh.trainable_weights)


def test_a_checkpoint_to_go_on_from_comes_before_an_adapter_that_may_be_gone(load):
    overrides = {**LORA, "adapter.init_from": "no/such/adapter"}
    with pytest.raises(UserError, match=r"There is no such folder.*no/such/adapter"):
        load(overrides).build_model()
    session = load(overrides)
    (session.run_dir.checkpoints_folder / "step-00000002").mkdir(parents=True)
    session.build_model()


@pytest.mark.parametrize("method", ["lora", "houlsby"])
def test_the_encoder_of_a_run_with_an_adapter_is_no_start_for_another(load, method):
    run = load({"adapter.method": method}).run_dir.path
    expected = rf'model\.init_from: .* with adapter\.method="{method}".*adapter\.init_from={run}'
    with pytest.raises(UserError, match=expected):
        load({"model.init_from": str(run)}).build_model()


def test_the_encoder_of_a_bitfit_run_is_a_plain_one(load):
    """It is refused for what it lacks, and not for its adapter."""
    run = load({"adapter.method": "bitfit"}).run_dir.path
    with pytest.raises(UserError, match="has no best checkpoint"):
        load({"model.init_from": str(run)}).build_model()
