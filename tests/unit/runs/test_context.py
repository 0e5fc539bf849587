"""What a run refuses before it trains, what it records, what an interruption says."""

from __future__ import annotations

import pytest

from kerasft.data.sources import source as sources
from kerasft.data.sources.tfds import DownloadError
from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs import train
from kerasft.runs.context import load_context
from kerasft.runs.resolved import Resolved, load_run_recipe, read_resolved
from kerasft.runs.train import build_trained_model
from kerasft.runs.training_data import training_data
from kerasft.training.loop.interrupt import Interrupted


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    """No dataset is prepared anywhere, and none can be downloaded."""

    def download(dataset, folder):
        raise DownloadError("no network in this test")

    monkeypatch.setattr(sources, "search_folders", lambda: [tmp_path / "tfds"])
    monkeypatch.setattr(sources, "download", download)


def test_falling_back_on_the_sample_is_loud_and_recorded(
    make_context, make_run_dir, make_recipe, no_data, tools
):
    messages, overrides = tools.Messages(), {"model.preset": "tiny_random"}
    context = make_context(overrides, name="imdb_quick", callbacks=[messages])
    assert messages[0].startswith("THE REAL DATA IS MISSING: imdb_reviews")
    assert context.on_sample
    run_dir = make_run_dir(context)
    assert load_recipe(run_dir.recipe_path).data.dataset == "imdb_reviews"  # as it was asked
    assert load_run_recipe(run_dir).data.dataset == "builtin-sample"
    again = tools.Messages()
    resumed = load_context(load_recipe(run_dir.recipe_path), [again], run_dir)
    assert resumed.resolved == context.resolved
    assert len(again) == 1  # found at once, and nothing to be loud of
    assert again[0].startswith("builtin-sample")


def test_building_a_model_tells_of_the_fall_back_too(make_recipe, no_data, tools):
    messages = tools.Messages()
    recipe = make_recipe({"model.preset": "tiny_random"}, name="imdb_quick")
    train.build(recipe, callbacks=[messages])
    assert messages[0].startswith("THE REAL DATA IS MISSING")


@pytest.mark.parametrize("choice", ["data.dataset", "data.data_dir"])
def test_data_that_the_user_chose_never_falls_back(make_context, no_data, choice):
    value = "imdb_reviews" if choice == "data.dataset" else "no/such/folder"
    with pytest.raises(UserError, match="imdb_reviews is not prepared in"):
        make_context({"model.preset": "tiny_random", choice: value}, name="imdb_quick")


def test_a_metric_that_the_task_has_not_is_refused_before_training(make_context):
    expected = r'training\.monitor="validation/f1/good".*Expected: .*validation/f1/pos'
    with pytest.raises(UserError, match=expected):
        make_context({"training.monitor": "validation/f1/good"})
    make_context({"training.monitor": "validation/f1/pos"})


def test_the_recipes_calibration_bins_count_in_validation_too(make_context):
    def calibration_error(bins):
        context = make_context({"evaluation.calibration_bins": bins, "data.train_examples": None})
        model = build_trained_model(context)
        kernel = model.head.logits.kernel
        kernel.assign(5 * kernel)  # more confident, or all predictions would lie in one bin
        metrics = training_data(context, model).evaluate(lambda rows: None)
        return metrics["expected_calibration_error"]

    assert calibration_error(1) != calibration_error(15)


@pytest.mark.parametrize(("checkpoint", "step"), [("step-00000040", 40), (None, 0)])
def test_an_interruption_without_saving_names_the_step_that_is_saved(
    make_recipe, tmp_path, monkeypatch, checkpoint, step
):
    """A second Ctrl-C stops at once: the steps since the last checkpoint are lost."""

    def stop(context, run_dir, model):
        if checkpoint:
            (run_dir.checkpoints_folder / checkpoint).mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", stop)
    with pytest.raises(Interrupted, match=f"after step {step}\\.") as raised:
        train.run(make_recipe(), runs_folder=tmp_path)
    assert (raised.value.step, raised.value.run_dir.parent) == (step, tmp_path)


def test_a_damaged_record_of_what_was_resolved_is_told(make_recipe, tmp_path):
    run_dir = RunDir(tmp_path)
    run_dir.write_text("recipe.toml", make_recipe().to_toml())
    # A run of an earlier version has no such record.
    assert load_run_recipe(run_dir).values() == make_recipe().values()
    resolved = Resolved("mixed_bfloat16", kernels=True, warmup_steps=3)
    resolved.write(run_dir)
    assert read_resolved(run_dir) == resolved
    recipe = load_run_recipe(run_dir)
    assert (recipe.training.dtype_policy, recipe.performance.kernels) == ("mixed_bfloat16", True)
    assert (recipe.training.warmup_steps, recipe.training.warmup_fraction) == (3, None)
    for text in ("kernels = ", "speed = 3\n"):
        run_dir.write_text("resolved.toml", text)
        with pytest.raises(UserError, match=r"resolved\.toml is damaged.*put back a copy"):
            load_run_recipe(run_dir)
