"""What a run may be resumed from, and with which changes."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir, create_run_dir
from kerasft.runs import train
from kerasft.runs.resume import change_recipe, differences, open_resumed
from kerasft.training.checkpoints.checkpoint import read_checkpoint
from kerasft.training.step.schedule import build_schedule

# A constant rate: the decay would depend on how long the run was meant to be.
WITHOUT_CHANCE = {
    "model.dropout": 0.0,
    "model.head_dropout": 0.0,
    "training.schedule": "constant",
    "training.warmup_steps": 0,
}


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = create_run_dir("imdb_sample")
    made.write_text("recipe.toml", load_recipe("imdb_sample").to_toml())
    for step in (5, 120):
        (made.checkpoints_folder / f"step-{step:08d}").mkdir(parents=True)
    return made


def test_a_run_directory_goes_on_from_its_latest(run_dir):
    assert open_resumed(str(run_dir.path)) == (run_dir, None)


@pytest.mark.parametrize("name", ["checkpoints/step-00000120", "step-120", "step-00000120"])
def test_a_checkpoint_is_gone_back_to(run_dir, name):
    assert open_resumed(str(run_dir.path / name)) == (run_dir, 120)


def test_a_checkpoint_that_is_not_there(run_dir):
    with pytest.raises(UserError, match=r"no such checkpoint.*Expected: a step of 5, 120\."):
        open_resumed(str(run_dir.path / "checkpoints/step-00000007"))


@pytest.mark.parametrize(
    "override",
    [
        "training.epochs=9",
        "training.checkpoint_every_minutes=5",
        "training.strategy=mirrored",
        "evaluation.batch_size=8",
    ],
)
def test_length_evaluation_and_export_may_change(run_dir, override):
    changed = change_recipe(run_dir, [override, "export.name=other"])
    assert changed.export.name == "other"
    found = dict(differences(load_recipe(run_dir.recipe_path), changed))
    assert override.partition("=")[0] in found


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("training.learning_rate=2e-3", r"training.learning_rate: .* -> 0.002"),
        ("data.train_examples=7", r"data.train_examples: .* -> 7"),
        ("training.seed=9", "training.seed: 1 -> 9"),
        ("evaluation.headline=f1_macro", "evaluation.headline: None -> 'f1_macro'"),
        ("model.dropout=0.3", "model.dropout: "),
    ],
)
def test_what_the_weights_were_made_with_may_not(run_dir, override, shown):
    with pytest.raises(UserError, match=f"begun with other settings.*{shown}"):
        change_recipe(run_dir, ["training.epochs=9", override])


def test_without_a_change_it_is_the_run_s_own(run_dir):
    assert change_recipe(run_dir, []) == load_recipe(run_dir.recipe_path)


def test_a_run_goes_on_with_another_number_of_replicas(make_recipe, tmp_path, monkeypatch, tools):
    monkeypatch.chdir(tmp_path)
    settings = {"export.enabled": False, "training.checkpoint_every_steps": 2, **WITHOUT_CHANCE}
    recipe = make_recipe({**settings, "training.strategy": "one_device"})
    # Two replicas update the token table whole: what one device owes its rows is settled.
    undisturbed = train.run(changed(recipe, steps=4, strategy="mirrored"), callbacks=[])
    messages = tools.Messages()
    first = RunDir(train.run(changed(recipe, steps=2), callbacks=[messages]).path)
    first.metrics_path.unlink()
    train.run(changed(recipe, steps=4, strategy="mirrored"), resume=first, callbacks=[messages])
    (said,) = [text for text in messages if "within rounding" in text]
    assert "OneDeviceStrategy, 1 x CPU, and goes on on MirroredStrategy, 2 x CPU" in said
    ours, theirs = (weights_of(run_dir) for run_dir in (first, RunDir(undisturbed.path)))
    assert max(np.abs(ours[name] - theirs[name]).max() for name in theirs) < 1e-5


def test_a_run_that_stopped_short_goes_on_as_if_it_had_not(make_recipe, tmp_path, monkeypatch):
    """As Hyperband does: the schedule is that of the whole length from the start."""
    monkeypatch.chdir(tmp_path)
    settings = {"export.enabled": False, "evaluation.test": False, "training.warmup_steps": 1}
    recipe = make_recipe(settings)
    undisturbed = train.run(recipe, callbacks=[])
    short = changed(recipe, stop_after_epochs=0.6)  # three of the four steps
    run = train.run(short, callbacks=[])
    assert [row["step"] for row in run.history] == [1, 2, 3]
    assert not any(name.startswith("test") for name in run.metrics)
    first = RunDir(run.path)
    first.metrics_path.unlink()
    longer = change_recipe(first, ["training.stop_after_epochs=9"])
    train.run(longer, resume=first, callbacks=[])
    ours, theirs = weights_of(first), weights_of(RunDir(undisturbed.path))
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    rates = [row["learning_rate"] for row in run.history]
    assert rates == [row["learning_rate"] for row in undisturbed.history[:3]]
    # A run that was planned for three steps would have learnt otherwise.
    own = build_schedule("polynomial", rates[1], warmup_steps=1, total_steps=3)
    assert float(own(2)) < 0.9 * rates[2]


def weights_of(run_dir):
    """Returns the weights and the optimizer's values after four steps."""
    saved = read_checkpoint(run_dir.checkpoints_folder / "step-00000004")[1]
    return {name: value for name, value in saved.items() if not re.search("seed|:acc|:loss", name)}


def changed(recipe, **training):
    training = dataclasses.replace(recipe.training, **training)
    return dataclasses.replace(recipe, training=training)
