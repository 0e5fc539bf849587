"""Learning curves that are run: with a tiny encoder on the built-in sample."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir, create_run_dir
from kerasft.runs import train
from kerasft.runs.context import load_context
from kerasft.studies.learning_curve.running import plan_curve, run_curve
from kerasft.studies.series import Reporting, open_series
from kerasft.training.callbacks.callback import Callback
from kerasft.training.loop.interrupt import Interrupted

QUICK = {
    "model.preset": "tiny_random",
    "model.sequence_length": 16,
    "training.steps": 2,
    "training.batch_size": 8,
    "training.learning_rate": 1e-2,
    "training.dtype_policy": "float32",
    "evaluation.bootstrap_resamples": 10,
    "logging.plots": False,
}


@pytest.fixture
def whole_size():
    """How many examples of the sample there are to train on, where none are for the test."""
    recipe = load_recipe("imdb_sample", QUICK | {"data.test_splits": ()})
    return load_context(recipe).data.splits.report["train_examples"]


def plan(overrides=None, *, sizes=(16, 32), num_seeds=2):
    return plan_curve(load_recipe("imdb_sample", {**QUICK, **(overrides or {})}), sizes, num_seeds)


def run(series, callbacks=(), told=None):
    log = str if told is None else told.append
    return run_curve(series, Reporting("kerasft learning-curve", log, lambda recipe: callbacks))


class Evaluations(Callback):
    """Notes on how many examples each split is evaluated."""

    def __init__(self):
        self.counts = []

    def on_evaluation_start(self, split, num_examples):
        self.counts.append((split, num_examples))


def labels_of(run_dir):
    return np.load(Path(run_dir) / "predictions-test.npz")["labels"]


def metrics_of(run_dir):
    return json.loads((Path(run_dir) / "metrics.json").read_text())["metrics"]


def test_each_size_is_run_with_each_seed_and_tested_on_the_same_examples():
    told = []
    curve, folder = run(plan({"data.test_examples": 40}), told=told)
    assert (curve.recipe, curve.metric) == ("imdb_sample", "test/accuracy")
    assert [(p.size, p.seeds) for p in curve.points] == [(16, (1, 2)), (32, (1, 2))]
    for point in curve.points:
        own = [metrics_of(run_dir)["test/accuracy"] for run_dir in point.run_dirs]
        assert list(point.figure.values) == own
        assert point.figure.mean == pytest.approx(np.mean(own))
        assert point.seconds.mean > 0
        recipes = [load_recipe(Path(run_dir) / "recipe.toml") for run_dir in point.run_dirs]
        assert {recipe.data.train_examples for recipe in recipes} == {point.size}
    (first, other), (larger, _) = (point.run_dirs for point in curve.points)
    assert np.array_equal(labels_of(first), labels_of(larger))
    assert not np.array_equal(labels_of(first), labels_of(other))  # as the note says
    assert "every seed on others" in curve.notes[0]
    assert told[-1] == "imdb_sample-32, seed 2 (4 of 4)."
    assert not Path("saved_models").exists()

    assert json.loads((folder.path / "learning_curve.json").read_text())["points"]
    assert (folder.path / "learning_curve.csv").read_text() == curve.to_csv()
    assert (folder.path / "learning_curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_without_a_test_split_all_sizes_are_measured_on_all_of_validation(whole_size):
    evaluations = Evaluations()
    made = plan({"data.test_splits": ()}, sizes=(16, whole_size), num_seeds=1)
    curve, folder = run(made, [evaluations])
    assert curve.metric == "validation/accuracy"
    assert "There is no test split: measured on validation" in curve.notes[0]
    # The control: the run's own validation shrinks with the training set.
    counts = [count for _, count in evaluations.counts]
    assert min(counts) < 4
    assert max(counts) > 100
    (small,), (large,) = (point.run_dirs for point in curve.points)
    measured = json.loads((Path(small) / "whole_validation.json").read_text())
    assert curve.points[0].figure.values == (measured["accuracy"],)
    assert measured["accuracy"] != metrics_of(small)["validation/accuracy"]
    # The size that leaves nothing out has all of validation for its own.
    own = metrics_of(large)["validation/accuracy"]
    assert curve.points[1].figure.mean == pytest.approx(own)
    # What was measured is not measured again.
    evaluations.counts.clear()
    again, _ = run(open_series(folder.path), [evaluations])
    assert evaluations.counts == []
    assert again.to_json() == curve.to_json()


def test_a_size_above_what_there_is_is_refused_before_anything_runs():
    with pytest.raises(UserError, match=r"not so many examples.*up to 90,000.*at most [\d,]+: so"):
        run(plan(sizes=(16, 90_000)))
    assert not Path("runs").exists()


class FakeRuns:
    """Stands for `train.run`: larger sets are better, and the third run is cut off."""

    def __init__(self, interrupt=None, metric="test/accuracy"):
        self.calls, self.interrupt, self.metric = [], interrupt, metric

    def __call__(self, recipe, *, resume=None, callbacks=(), runs_folder="runs", **options):
        self.calls.append((recipe.name, recipe.training.seed, resume))
        run_dir = resume or create_run_dir(recipe.name, runs_folder)
        run_dir.write_text("recipe.toml", recipe.to_toml())
        if len(self.calls) == self.interrupt:
            raise Interrupted(run_dir.path, 5)
        metrics = {self.metric: recipe.data.train_examples / 100}
        record = {"metrics": metrics, "train": {"seconds": 2.0}, "task": {"headline": "accuracy"}}
        run_dir.write_json("metrics.json", record)
        return run_dir


@pytest.fixture
def fake(monkeypatch):
    def install(**options):
        made = FakeRuns(**options)
        monkeypatch.setattr(train, "run", made)
        return made

    return install


def test_an_interrupted_curve_goes_on_where_it_stopped(fake):
    fake(interrupt=3)
    told = []
    with pytest.raises(KeyboardInterrupt):
        run(plan(), told=told)
    (folder,) = Path("runs").iterdir()
    assert told[-1].endswith(f"kerasft learning-curve --resume {folder}")
    assert not (folder / "learning_curve.json").exists()

    again = fake()
    curve, same = run(open_series(folder))
    assert same == RunDir(folder)
    (begun, fresh) = again.calls
    assert (begun[:2], fresh) == (("imdb_sample-32", 1), ("imdb_sample-32", 2, None))
    assert begun[2] is not None
    assert [point.figure.mean for point in curve.points] == pytest.approx([0.16, 0.32])


def test_a_validation_of_its_own_is_not_measured_again(fake):
    fake(metric="validation/accuracy")
    made = plan({"data.test_splits": (), "data.validation_split": "test"}, num_seeds=1)
    curve, folder = run(made)
    assert curve.metric == "validation/accuracy"
    assert not list(folder.path.rglob("whole_validation.json"))
    assert curve.notes[0].startswith("There is no test split: measured on validation")
    # A test split that the runs leave out is not said to be missing.
    made = plan({"evaluation.test": False, "data.validation_split": "test"}, num_seeds=1)
    assert run(made)[0].notes[0].startswith("evaluation.test=false: measured on validation")


def test_the_notes_say_what_limits_the_comparison(fake):
    fake()
    (note,) = run(plan())[0].notes
    assert note.startswith("The length of the training is fixed")
    recipe = load_recipe("imdb_sample")  # an epoch is as long as its examples are many
    assert run(plan_curve(recipe, (16, 32), 1))[0].notes == ()
