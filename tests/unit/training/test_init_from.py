"""Going on from an earlier run: its encoder bit for bit, nothing else, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.models import tiny_random
from kerasft.recipe import load_recipe
from kerasft.run_dir import create_run_dir
from kerasft.training.checkpoints import initial_weights as init_from
from kerasft.training.checkpoints.checkpoint import BEST, DamagedCheckpointError, save_best
from kerasft.training.checkpoints.initial_weights import load_encoder_weights
from kerasft.training.step.optimizer import AdamW


def values_of(layer):
    return [variable.numpy() for variable in layer.weights]


def same(values, others):
    return all(np.array_equal(*pair) for pair in zip(values, others, strict=True))


@pytest.fixture
def build(tools):
    """Builds a model on `tiny_random`, or on another backbone, trained for some steps."""

    def build(steps=0, backbone=tiny_random.build_backbone):
        model = tools.build_tuner(AdamW(1e-2), backbone=backbone)
        for seed in range(steps):
            model.train_step(tools.as_tensors(tools.make_batch(4, seed=seed)))
        return model

    return build


@pytest.fixture
def make_run(tmp_path):
    """Makes the run directory of a model, as a run that has come to its end leaves it."""

    def make(model=None, *, finished=True, preset="tiny_random"):
        run_dir = create_run_dir("first", tmp_path / "runs")
        recipe = load_recipe("imdb_sample", {"model.preset": preset})
        run_dir.write_text("recipe.toml", recipe.to_toml())
        if model is not None:
            save_best(run_dir.checkpoints_folder, model.weights, {"step": 2})
        if finished:
            run_dir.write_json("metrics.json", {})
        return run_dir

    return make


def test_the_encoder_is_the_earlier_runs_and_head_and_optimizer_are_new(build, make_run):
    first, new = build(steps=2), build()
    untrained, head = values_of(new.encoder), values_of(new.head)
    run_dir = make_run(first)
    report = load_encoder_weights(run_dir.path, new.encoder, preset="tiny_random")
    assert same(values_of(new.encoder), values_of(first.encoder))
    assert not same(values_of(new.encoder), untrained)  # control: the two steps did something
    assert same(values_of(new.head), head)
    assert not same(values_of(new.head), values_of(first.head))
    assert (report.path, report.preset, report.step) == (run_dir.path, "tiny_random", 2)
    assert report.num_variables == len(new.encoder.weights)
    assert int(new.optimizer.iterations) == 0
    assert not any(np.any(v.numpy()) for v in new.optimizer.variables if "momentum" in v.path)


@pytest.mark.parametrize("finished", [True, False])
def test_the_line_for_people_says_whether_the_run_was_finished(build, make_run, finished):
    run_dir = make_run(build(), finished=finished)
    line = load_encoder_weights(str(run_dir.path), build().encoder).to_line()
    assert line.startswith(f"The encoder goes on from {run_dir.path}, step 2 (tiny_random, ")
    assert ("interrupted" in line) is not finished


# --- what is refused


def test_what_is_no_run_directory_is_refused_with_the_nearest(build, make_run):
    path = make_run(build()).path
    misspelt = path.with_name(path.name.replace("first", "frist"))
    expected = rf'model\.init_from: This is not a run directory\. Did you mean "{path.name}"\?'
    with pytest.raises(UserError, match=expected):
        load_encoder_weights(misspelt, build().encoder)


def test_a_folder_inside_a_run_names_the_run(build, make_run):
    run_dir = make_run(build())
    with pytest.raises(UserError, match=rf'Did you mean "{re.escape(str(run_dir.path))}"\?'):
        load_encoder_weights(run_dir.checkpoints_folder / BEST, build().encoder)


def test_a_run_without_a_best_checkpoint_is_refused(build, make_run):
    with pytest.raises(UserError, match=r"has no best checkpoint.*kerasft run --resume .*first-"):
        load_encoder_weights(make_run().path, build().encoder)


def test_a_run_that_is_at_work_is_refused(build, make_run):
    run_dir = make_run(build(), finished=False)
    with run_dir.lock(), pytest.raises(UserError, match=r"is still at work.*wait for its end"):
        load_encoder_weights(run_dir.path, build().encoder)
    load_encoder_weights(run_dir.path, build().encoder)  # and taken as soon as it stops


def test_a_damaged_checkpoint_is_refused(build, make_run):
    run_dir = make_run(build())
    path = run_dir.checkpoints_folder / BEST / "variables.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedCheckpointError, match="is damaged"):
        load_encoder_weights(run_dir.path, build().encoder)


def test_another_encoder_is_refused_with_both_presets_and_stays_as_it_was(build, make_run, tools):
    run_dir = make_run(build(), preset="tiny_random")
    new = build(backbone=tools.build_backbone)
    before = values_of(new.encoder)
    expected = (
        r"First difference: token_embedding/embeddings has the shape \(\d+, 64\) there, and "
        r"\(60, 16\) here\. Received: 'a run with the preset tiny_random'\. "
        r"Expected: a run with the preset other\. Fix: set model\.preset=tiny_random"
    )
    with pytest.raises(UserError, match=expected):
        load_encoder_weights(run_dir.path, new.encoder, preset="other")
    assert same(values_of(new.encoder), before)


@pytest.mark.parametrize(
    ("saved_layers", "layers", "expected"),
    [
        (1, 2, r"transformer_layer_1/\S+ is missing there\."),
        (2, 1, r"transformer_layer_1/\S+ is there, and not here\."),
    ],
)
def test_an_encoder_of_more_or_fewer_layers_is_refused(
    build, make_run, saved_layers, layers, expected
):
    def backbone_of(num_layers):
        import keras_hub

        return lambda: keras_hub.models.DistilBertBackbone(
            vocabulary_size=60,
            num_layers=num_layers,
            num_heads=2,
            hidden_dim=16,
            intermediate_dim=32,
            max_sequence_length=32,
        )

    run_dir = make_run(build(backbone=backbone_of(saved_layers)))
    with pytest.raises(UserError, match=expected):
        load_encoder_weights(run_dir.path, build(backbone=backbone_of(layers)).encoder)


def test_a_head_of_another_size_is_no_difference():
    class Variable:
        path, shape = "pooled_dense/kernel", (2, 2)

    values = {"pooled_dense/kernel": np.zeros((2, 2)), "logits/kernel": np.zeros((2, 7))}
    assert init_from.find_difference(values, [Variable]) is None
    assert init_from.find_difference({"logits/kernel": np.zeros(2)}, [Variable]) is not None


def test_a_recipe_of_the_run_that_cannot_be_read_is_named(build, make_run):
    run_dir = make_run(build())
    run_dir.write_text("recipe.toml", "[model]\npresett = 1\n")
    with pytest.raises(UserError, match=r'unknown key.*Did you mean "preset"'):
        load_encoder_weights(run_dir.path, build().encoder)
