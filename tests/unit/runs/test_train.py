"""Running, evaluating again, exporting again: what each needs before it starts."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.runs import train
from kerasft.runs.data import data as run_data
from kerasft.runs.evaluate import evaluate_run
from kerasft.runs.export import export_run
from kerasft.runs.train import build_trained_model
from kerasft.training.checkpoints.checkpoint import save_best


@pytest.mark.parametrize("again", [evaluate_run, export_run])
def test_a_run_before_its_first_evaluation_has_nothing_to_show(make_recipe, tmp_path, again):
    run_dir = RunDir(tmp_path)
    run_dir.write_text("recipe.toml", make_recipe().to_toml())
    with pytest.raises(UserError, match=r"no best checkpoint.*--resume"):
        again(run_dir)


def test_an_unfinished_run_is_evaluated_but_not_exported(make_context, make_run_dir):
    context = make_context()
    run_dir = make_run_dir(context)
    save_best(run_dir.checkpoints_folder, build_trained_model(context).weights, {"step": 1})
    metrics = evaluate_run(run_dir)
    assert 0 <= metrics["test/accuracy_lower"] <= metrics["test/accuracy"] <= 1
    with np.load(run_dir.path / "predictions-test.npz") as saved:
        store, rows = context.data.examples("test")
        assert saved["rows"].dtype == np.int64
        assert np.array_equal(saved["rows"], rows)
        assert len(rows) < len(store)  # a subset: its rows are not 0, 1, 2, ...
        assert np.array_equal(saved["text_hashes"], store.text_hashes[rows])
        assert np.array_equal(saved["labels"], store.labels[rows])
    with pytest.raises(UserError, match=r"metrics\.json is missing.*resume it"):
        export_run(run_dir)


def test_a_finished_run_is_not_resumed(make_recipe, tmp_path):
    run_dir = RunDir(tmp_path)
    run_dir.write_text("recipe.toml", make_recipe().to_toml())
    run_dir.write_json("metrics.json", {})
    with pytest.raises(UserError, match=r"is finished: there is nothing to resume.*without"):
        train.run(make_recipe(), resume=run_dir)


def test_a_mistake_leaves_no_run_directory(make_recipe, tmp_path):
    with pytest.raises(UserError, match="A subset of that size cannot be taken"):
        train.run(make_recipe({"data.test_examples": 10**6}), runs_folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("in_the_way", "message"),
    [("models", "cannot be written"), (f"models/example_sample/{'9' * 20}/x", "is in the way")],
)
def test_what_is_in_the_way_of_the_model_is_told_before_training(
    make_recipe, tmp_path, monkeypatch, in_the_way, message
):
    monkeypatch.setattr(train, "build_trained_model", lambda *_: pytest.fail("it trains"))
    (tmp_path / in_the_way).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / in_the_way).touch()
    changed = {
        "export.enabled": True,
        "export.name": "example",
        "export.directory": str(tmp_path / "models"),
    }
    with pytest.raises(UserError, match=message):
        train.run(make_recipe(changed), runs_folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_build_gives_a_model_that_keras_can_fit(make_recipe, make_context):
    model = train.build(make_recipe())
    before = [weight.numpy() for weight in model.trainable_weights]
    context = make_context()
    batches = run_data.train_batches(context.data, context.plan, total_steps=3, replicas=1)(0)
    history = model.fit(batches, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"][0])
    after = [weight.numpy() for weight in model.trainable_weights]
    assert any(not np.array_equal(*pair) for pair in zip(before, after, strict=True))
