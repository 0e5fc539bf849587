"""The end of a run: what it reports is what happened."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from kerasft.recipe import load_recipe
from kerasft.run_dir import open_run_dir
from kerasft.runs import train as run_train
from kerasft.runs.evaluate import evaluate_run
from kerasft.runs.finish import _undefined
from kerasft.training.loop.fit_state import FitState

MONITOR = "validation/expected_calibration_error"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of files with empty cells, tested on one class only."""
    folder = tmp_path_factory.mktemp("finished")
    rows = [f"film {i} is {word},{word}" for i in range(20) for word in ("good", "bad")]
    train, test = folder / "a.csv", folder / "b.csv"
    train.write_text("\n".join(["text,label", *rows, ",good", "a film,", ",bad", ""]))
    test.write_text("\n".join(["text,label", "so good,good", ",bad", "it is good,good", ""]))
    overrides = {
        "data.train_files": [str(train)],
        "data.test_files": [str(test)],
        "model.preset": "tiny_random",
        "model.sequence_length": 16,
        "training.steps": 2,
        "training.batch_size": 8,
        "training.dtype_policy": "float32",
        "training.monitor": MONITOR,
        "evaluation.headline": "roc_auc",
        "evaluation.bootstrap_resamples": 10,
        "export.enabled": False,
        "logging.plots": False,
    }
    return run_train.run(load_recipe("classify", overrides), runs_folder=folder / "runs")


def test_what_is_left_out_is_counted(run):
    left_out = {"train": {"no text": 2, "no label": 1}, "test": {"no text": 1}}
    assert run.left_out == left_out
    assert json.loads((run.path / "metrics.json").read_text())["left_out"] == left_out
    report = (run.path / "report.md").read_text()
    for row in ("train, no text | 2", "train, no label | 1", "test, no text | 1"):
        assert f"left out: {row}" in " ".join(report.split())


def test_the_data_of_each_split_is_named(run):
    expected = {"validation": "a.csv (held out of train)", "test": "b.csv"}
    assert json.loads((run.path / "metrics.json").read_text())["evaluation_data"] == expected
    assert "| tested on | b.csv |" in " ".join((run.path / "report.md").read_text().split())


def test_an_undefined_headline_is_null_and_explained(run):
    written = json.loads((run.path / "metrics.json").read_text())
    assert written["metrics"]["test/roc_auc"] is None
    assert math.isfinite(written["metrics"]["validation/roc_auc"])
    assert 'test: All examples are "good", so ROC-AUC is undefined.' in written["notes"]
    assert written["notes"] == run.notes
    assert "**roc_auc undefined**" in (run.path / "report.md").read_text()


def test_the_monitored_metric_is_in_the_history(run):
    assert run.history[-1][MONITOR] == pytest.approx(run.metrics[MONITOR])


def test_evaluating_again_says_it_and_keeps_the_predictions(run, tools):
    path, messages = run.path / "predictions-test.npz", tools.Messages()
    before = dict(np.load(path))
    metrics = evaluate_run(open_run_dir(run.path), [messages])
    assert math.isnan(metrics["test/roc_auc"])
    assert 'test: All examples are "good", so ROC-AUC is undefined.' in messages
    after = dict(np.load(path))
    assert before.keys() == after.keys() == {"labels", "logits", "rows", "text_hashes"}
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_undefined_metrics_of_validation_are_noted():
    metrics = {"validation/roc_auc": math.nan, "validation/accuracy": 1.0}
    assert _undefined(metrics | {"validation/f1/a": math.nan}) == [
        "validation/roc_auc is undefined on these examples."
    ]


def test_a_checkpoint_gives_undefined_metrics_back():
    saved = {"step": 4, "evaluations": [{"step": 4, "pearson": None, "r2": 0.5}]}
    (found,) = FitState.from_checkpoint(saved).evaluations
    assert math.isnan(found.pop("pearson"))
    assert found == {"step": 4, "r2": 0.5}
