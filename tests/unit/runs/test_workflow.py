"""Running, evaluating again, exporting again: what each needs before it starts."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.runs import workflow
from kerasft.runs.data import data as run_data
from kerasft.training.checkpoints.checkpoint import save_best


@pytest.mark.parametrize("again", [workflow.evaluate_run, workflow.export_run])
def test_a_run_before_its_first_evaluation_has_nothing_to_show(make_session, again):
    run_dir = make_session().run_dir
    with pytest.raises(UserError, match=r"no best checkpoint.*--resume"):
        again(run_dir)


def test_an_unfinished_run_is_evaluated_but_not_exported(make_session):
    session = make_session()
    session.load()
    save_best(session.run_dir.checkpoints_folder, session.build_model().weights, {"step": 1})
    metrics = workflow.evaluate_run(session.run_dir)
    assert 0 <= metrics["test/accuracy_lower"] <= metrics["test/accuracy"] <= 1
    with np.load(session.run_dir.path / "predictions-test.npz") as saved:
        store, rows = session.data.examples("test")
        assert saved["rows"].dtype == np.int64
        assert np.array_equal(saved["rows"], rows)
        assert len(rows) < len(store)  # a subset: its rows are not 0, 1, 2, ...
        assert np.array_equal(saved["text_hashes"], store.text_hashes[rows])
        assert np.array_equal(saved["labels"], store.labels[rows])
    with pytest.raises(UserError, match=r"metrics\.json is missing.*resume it"):
        workflow.export_run(session.run_dir)


def test_a_finished_run_is_not_resumed(make_session):
    session = make_session()
    session.run_dir.write_json("metrics.json", {})
    with pytest.raises(UserError, match=r"is finished: there is nothing to resume.*without"):
        workflow.run(session.recipe, resume=session.run_dir)


def test_a_mistake_leaves_no_run_directory(make_recipe, tmp_path):
    with pytest.raises(UserError, match="A subset of that size cannot be taken"):
        workflow.run(make_recipe({"data.test_examples": 10**6}), runs_folder=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_build_gives_a_model_that_keras_can_fit(make_recipe, make_session):
    model = workflow.build(make_recipe())
    before = [weight.numpy() for weight in model.trainable_weights]
    session = make_session()
    session.load()
    batches = run_data.train_batches(session.data, session.plan, total_steps=3, replicas=1)(0)
    history = model.fit(batches, shuffle=False, verbose=0).history
    assert np.isfinite(history["loss"][0])
    after = [weight.numpy() for weight in model.trainable_weights]
    assert any(not np.array_equal(*pair) for pair in zip(before, after, strict=True))
