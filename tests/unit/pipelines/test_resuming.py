"""What a run may be resumed from, and with which changes."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.pipelines.resuming import change_recipe, differences, open_resumed
from kerasft.recipe import load_recipe
from kerasft.run_dir import create_run_dir


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
    ["training.epochs=9", "training.checkpoint_every_minutes=5", "evaluation.batch_size=8"],
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
