"""The small file of an adapter: there and back bit for bit, and each mistake told by name."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.models import tiny_random
from kerasft.models.adapters.adapter import adapter_of, add_adapter
from kerasft.models.encoder import Encoder
from kerasft.tasks.task import build_task, task_from_record
from kerasft.training.checkpoints.adapter_file import (
    collect_adapter,
    find_adapter,
    load_adapter,
    save_adapter,
)
from kerasft.training.checkpoints.checkpoint import DamagedCheckpointError
from kerasft.training.step.fine_tuner import FineTuner

METHODS = {
    "lora": {"method": "lora", "matrices": ("query", "feedforward"), "rank": 3, "dropout": 0.1},
    "bitfit": {"method": "bitfit"},
    "houlsby": {"method": "houlsby", "bottleneck_dim": 5},
}
TASK = build_task("single", ("neg", "pos"))
INPUTS = {
    "token_ids": np.array([[2, 40, 41, 3], [2, 50, 3, 0]], "int32"),
    "segment_ids": np.zeros((2, 4), "int32"),
    "padding_mask": np.array([[1, 1, 1, 1], [1, 1, 1, 0]], "int32"),
}


def build(settings=None, *, task=TASK, pooling="mean", seed=1, backbone=None):
    """Builds an encoder, adapted or not, and a head."""
    backbone = tiny_random.build_backbone(dropout=0.0) if backbone is None else backbone
    encoder = Encoder(backbone, pooling=pooling)
    if settings:
        add_adapter(encoder, **settings, seed=seed)
    return encoder, task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.0, seed=seed)


def train(encoder, head):
    """Moves all that is trained, as training does."""
    random = np.random.default_rng(1)
    for variable in (*encoder.trainable_weights, *head.weights):
        variable.assign_add(0.1 * random.normal(size=variable.shape))


def logits_of(encoder, head):
    return FineTuner(encoder, head)(INPUTS).numpy()


@pytest.fixture
def save(tmp_path):
    """Saves a trained adapter; returns its folder, encoder and head."""

    def save(method="lora", *, task=TASK, preset="tiny_random", folder="adapter", **options):
        encoder, head = build(METHODS[method], task=task, **options)
        train(encoder, head)
        adapter = collect_adapter(encoder, head)
        path = save_adapter(tmp_path / folder, adapter, preset=preset, task=task.record())
        return path, encoder, head

    return save


# --- there and back


@pytest.mark.parametrize("method", METHODS)
class TestRoundTrip:
    def test_onto_a_plain_preset(self, save, method):
        path, encoder, head = save(method)
        fresh, new_head = build(seed=2)
        before = logits_of(fresh, new_head)
        loaded = load_adapter(path, fresh, new_head)
        expected = logits_of(encoder, head)
        assert np.array_equal(logits_of(fresh, new_head), expected)
        assert np.abs(before - expected).max() > 1e-2  # control: there was something to load
        assert (loaded.path, loaded.method, loaded.preset) == (path, method, "tiny_random")
        assert loaded.has_head

    def test_onto_an_encoder_that_is_adapted_already(self, save, method):
        path, encoder, head = save(method)
        adapted, new_head = build(METHODS[method], seed=2)
        load_adapter(path, adapted, new_head)
        assert np.array_equal(logits_of(adapted, new_head), logits_of(encoder, head))

    def test_it_goes_on_training_the_same_weights(self, save, method):
        path, encoder, _ = save(method)
        fresh, _ = build()
        load_adapter(path, fresh)
        expected = [variable.path for variable in encoder.trainable_weights]
        assert [variable.path for variable in fresh.trainable_weights] == expected
        ours, theirs = adapter_of(fresh), adapter_of(encoder)
        assert (ours.method, ours.settings) == (theirs.method, theirs.settings)

    def test_it_is_small(self, save, method):
        path, encoder, head = save(method)
        trained = sum(v.numpy().nbytes for v in (*encoder.trainable_weights, *head.weights))
        size = (path / "adapter.safetensors").stat().st_size
        assert trained < size < trained + 10_000
        assert size < sum(v.numpy().nbytes for v in encoder.weights) / 5
        assert sorted(file.name for file in path.iterdir()) == [
            "adapter.json",
            "adapter.safetensors",
        ]


def test_the_json_says_what_it_is(save):
    path, _, _ = save()
    record = json.loads((path / "adapter.json").read_text())
    assert record["method"] == "lora"
    assert record["settings"] == {
        "matrices": ["query", "feedforward"],
        "rank": 3,
        "alpha": 16.0,
        "dropout": 0.1,
    }
    assert (record["preset"], record["pooling"]) == ("tiny_random", "mean")
    assert record.keys() >= {"checksum", "base_checksum"}


def test_the_task_can_be_built_from_it(save):
    """A threshold that was chosen on validation is part of what was learnt."""
    task = build_task("multi", ("a", "b", "c"), thresholds=(0.2, 0.5, 0.9))
    path, encoder, head = save(task=task)
    fresh, _ = build()
    built = task_from_record(load_adapter(path, fresh).task)
    assert built.record() == task.record()
    new_head = built.build_head(hidden_dim=fresh.hidden_dim, dropout=0.0, seed=5)
    load_adapter(path, fresh, new_head)
    assert np.array_equal(logits_of(fresh, new_head), logits_of(encoder, head))


def test_dropout_says_how_to_train_and_may_differ(save):
    path, _, _ = save()
    encoder, _ = build(METHODS["lora"] | {"dropout": 0.0})
    load_adapter(path, encoder)


@pytest.mark.parametrize(
    ("task", "has_head"),
    [
        (TASK, True),
        (build_task("single", ("bad", "good")), False),
        (build_task("number", ()), False),
    ],
)
def test_the_head_is_loaded_where_the_labels_are_the_same(save, task, has_head):
    path, _, head = save()
    encoder, new_head = build(task=task, seed=2)
    before = [variable.numpy() for variable in new_head.weights]
    loaded = load_adapter(path, encoder, new_head, task=task.record())
    expected = [v.numpy() for v in head.weights] if has_head else before
    received = [v.numpy() for v in new_head.weights]
    assert all(np.array_equal(*pair) for pair in zip(received, expected, strict=True))
    ending = "with its head." if has_head else "the head is new."
    assert loaded.to_line() == (f"The adapter goes on from {path} (lora, tiny_random); {ending}")


def test_a_head_of_numbers_answers_alike_on_targets_of_another_mean_and_deviation(save):
    stars = build_task("number", (), target_scaling=(3.0, 1.5))
    percents = build_task("number", (), target_scaling=(60.0, 30.0))
    path, encoder, head = save(task=stars)
    fresh, new_head = build(task=percents, seed=2)
    assert load_adapter(path, fresh, new_head, task=percents.record()).has_head
    np.testing.assert_allclose(logits_of(fresh, new_head), logits_of(encoder, head), rtol=1e-5)
    control, same_head = build(task=stars, seed=2)
    load_adapter(path, control, same_head, task=stars.record())
    assert np.array_equal(logits_of(control, same_head), logits_of(encoder, head))


def test_a_saved_adapter_is_replaced_whole(save):
    save("lora")
    path, encoder, head = save("houlsby")
    fresh, new_head = build()
    load_adapter(path, fresh, new_head)
    assert np.array_equal(logits_of(fresh, new_head), logits_of(encoder, head))
    assert [other.name for other in path.parent.iterdir()] == ["adapter"]


def test_an_encoder_without_an_adapter_has_nothing_to_save():
    assert collect_adapter(*build()) is None


# --- where it is looked for


def test_a_run_directory_stands_for_its_adapter(save, tmp_path):
    (tmp_path / "run").mkdir()
    path, _, _ = save(folder="run/adapter")
    assert find_adapter(tmp_path / "run") == path
    assert find_adapter(str(path)) == path


def test_a_run_without_an_adapter_is_refused(tmp_path):
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(UserError, match=r"The run .* has no adapter: .*kerasft run --resume"):
        find_adapter(tmp_path)


def test_a_misspelt_folder_is_refused_with_the_nearest(save):
    path, _, _ = save(folder="my_adapter")
    expected = r'There is no such folder\. Did you mean "my_adapter"\?.*Expected: .*adapter\.json'
    with pytest.raises(UserError, match=expected):
        load_adapter(path.with_name("my_adaptor"), build()[0])


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "weights.h5").write_text("")
    with pytest.raises(UserError, match=r"There is no adapter in this folder\..*Received: "):
        load_adapter(tmp_path, build()[0])


# --- what is refused


def test_damaged_weights_are_refused(save):
    path, _, _ = save()
    file = path / "adapter.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match=r"The saved adapter .* is damaged: its check"):
        load_adapter(path, build()[0])


@pytest.mark.parametrize("name", ["adapter.safetensors", "adapter.json"])
def test_half_an_adapter_is_refused(save, name):
    path, _, _ = save()
    (path / name).unlink()
    with pytest.raises(DamagedCheckpointError, match=rf"cannot be read: FileNotFound.*{name}"):
        load_adapter(path, build()[0])


def test_a_record_of_another_version_is_refused(save):
    path, _, _ = save()
    record = json.loads((path / "adapter.json").read_text())
    del record["pooling"]
    (path / "adapter.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"adapter\.json is not one .*without pooling"):
        load_adapter(path, build()[0])


def test_another_preset_of_the_same_shapes_is_refused_with_both_names(save):
    """A LoRA learnt beside other weights would fit, and say something wrong."""
    path, _, _ = save(preset="first")
    backbone = tiny_random.build_backbone(dropout=0.0)
    kernel = backbone.transformer_layers[0].weights[0]
    kernel.assign_add(np.full(kernel.shape, 1e-6))
    expected = (
        r"frozen weights are others than it was trained with\. Received: 'an adapter of the "
        r"preset first'\. Expected: one of the preset second\. Fix: set model\.preset=first"
    )
    with pytest.raises(UserError, match=expected):
        load_adapter(path, build(backbone=backbone)[0], preset="second")


@pytest.mark.parametrize("method", METHODS)
def test_a_preset_of_other_shapes_is_refused(save, tools, method):
    path, _, _ = save(method)
    expected = r"does not belong to this model\. First difference: encoder/\S+ is .* there, .* here"
    with pytest.raises(UserError, match=expected):
        load_adapter(path, build(backbone=tools.build_backbone())[0])


def test_a_head_of_other_shapes_is_refused(save):
    path, _, _ = save()
    encoder, head = build(task=build_task("single", ("a", "b", "c")))
    expected = r"First difference: head/logits/bias is \(2,\) there, \(3,\) here"
    with pytest.raises(UserError, match=expected):
        load_adapter(path, encoder, head)


LORA, BITFIT = METHODS["lora"], METHODS["bitfit"]


@pytest.mark.parametrize(
    ("options", "name", "values"),
    [
        ({"settings": LORA | {"rank": 4}}, "adapter.rank", r"3\. Expected: 4"),
        ({"settings": LORA | {"alpha": 8.0}}, "adapter.alpha", r"16\.0\. Expected: 8\.0"),
        ({"settings": LORA | {"matrices": ("key",)}}, "adapter.matrices", r"\['query', 'feedf"),
        ({"settings": BITFIT}, "adapter.method", r"'lora'\. Expected: 'bitfit'"),
        ({"pooling": "cls"}, "model.pooling", r"'mean'\. Expected: 'cls'"),
    ],
)
def test_an_encoder_that_is_adapted_or_pools_otherwise_is_refused(save, options, name, values):
    path, _, _ = save()
    expected = rf"{re.escape(name)} differs\. Received: {values}"
    with pytest.raises(UserError, match=expected):
        load_adapter(path, build(**options)[0])
