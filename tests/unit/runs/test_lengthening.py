"""A run is made longer: with one warm-up, from where it stood, its first results kept."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.runs import train
from kerasft.runs.export import export_run
from kerasft.runs.resolved import load_run_recipe
from kerasft.runs.resume import change_recipe
from kerasft.training.checkpoints.checkpoint import BEST, read_checkpoint
from kerasft.training.step.schedule import build_schedule

SETTINGS = {
    "training.steps": 10,
    "training.warmup_steps": None,
    "training.warmup_fraction": 0.2,
    "training.evaluate_every_steps": 5,
    "evaluation.test": False,
    "export.enabled": False,
}


@pytest.fixture
def start(make_recipe, tmp_path, monkeypatch):
    """Runs with `SETTINGS` and others, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda **training: train.run(
        make_recipe({**SETTINGS, **{f"training.{name}": value for name, value in training.items()}})
    )


@pytest.fixture
def finished(start):
    return RunDir(start().path)


def resume(run_dir, *overrides):
    return train.run(change_recipe(run_dir, overrides), resume=run_dir)


def test_the_schedule_is_that_of_the_new_length_with_the_first_warmup(finished):
    before = finished.metrics_path.read_text()
    run = resume(finished, "training.steps=25")
    rates = [row["learning_rate"] for row in run.history]
    peak = change_recipe(finished, ()).training.learning_rate
    first = build_schedule("polynomial", peak, warmup_steps=2, total_steps=10)
    longer = build_schedule("polynomial", peak, warmup_steps=2, total_steps=25)
    expected = [float(first(step)) for step in range(10)]
    expected += [float(longer(step)) for step in range(10, 25)]
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert (finished.path / "metrics-step-10.json").read_text() == before
    assert json.loads(finished.metrics_path.read_text())["train"]["steps"] == 25
    again = resume(finished, "training.steps=30")  # no third warm-up, either
    assert load_run_recipe(finished).training.warmup_steps == 2
    assert again.history[-1]["step"] == 30


def test_a_longer_run_exports_a_new_version_and_keeps_the_earlier_one(finished, tmp_path):
    first = export_run(finished)
    run = resume(finished, "training.steps=12", "export.enabled=true")
    assert (first.name, run.saved_model.name) == ("1", "2")
    assert (first / "saved_model.pb").exists()


@pytest.mark.parametrize("override", ["export.name=x", "training.keep_checkpoints=3"])
def test_without_more_to_train_it_is_refused_at_once(finished, override):
    with pytest.raises(UserError, match=r"is finished: there is nothing to resume.*epochs=6"):
        resume(finished, override)


@pytest.mark.parametrize("steps", [10.0, 4])
def test_a_length_that_is_done_already_is_refused(finished, steps):
    expected = r"has nothing left to train.*10 of 4.*more than 10 steps|there is nothing to resume"
    with pytest.raises(UserError, match=expected):
        resume(finished, f"training.steps={steps:.0f}")
    assert finished.metrics_path.exists()


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_refused_length_changes_nothing(finished, is_finished):
    if not is_finished:
        finished.metrics_path.unlink()
    before = {path: path.read_bytes() for path in finished.path.rglob("*") if path.is_file()}
    shorter = change_recipe(finished, ["training.steps=4"])
    for step in (None, 5):
        with pytest.raises(UserError, match="has nothing left to train"):
            train.run(shorter, resume=finished, from_step=step)
    after = {path: path.read_bytes() for path in finished.path.rglob("*") if path.is_file()}
    assert after == before


def test_a_run_that_stopped_short_names_what_holds_it(start):
    run = RunDir(start(stop_after_epochs=0.6).path)
    with pytest.raises(UserError, match=r"training\.stop_after_epochs for more than 3 steps"):
        resume(run, "training.steps=20")
    assert resume(run, "training.stop_after_epochs=1").history[-1]["step"] == 5


def test_an_averaged_run_goes_back_and_on(start):
    often = {"evaluate_every_steps": 2, "checkpoint_every_steps": 4, "keep_checkpoints": 4}
    run = RunDir(start(**often, average_checkpoints=2).path)
    undisturbed = read_checkpoint(run.checkpoints_folder / BEST)
    state = json.loads((run.checkpoints_folder / "step-00000010" / "state.json").read_text())
    assert state["best_step"] == state["averaged_step"] == undisturbed[0]["step"] == 10
    train.run(change_recipe(run, ()), resume=run, from_step=4)
    again = read_checkpoint(run.checkpoints_folder / BEST)
    assert all(np.array_equal(again[1][name], value) for name, value in undisturbed[1].items())
    assert resume(run, "training.steps=14").history[-1]["step"] == 14


def test_a_run_that_stopped_early_needs_patience(start):
    nothing_improves = {"learning_rate": 1e-7, "early_stopping_patience": 1}
    run = RunDir(start(steps=20, evaluate_every_steps=2, **nothing_improves).path)
    state = json.loads((next(run.checkpoints_folder.glob("step-*")) / "state.json").read_text())
    assert state["stopped_early"]
    with pytest.raises(UserError, match=r"nothing left to train.*patience=2 or more"):
        resume(run, "training.steps=40")
    assert resume(run, "training.early_stopping_patience=0").history[-1]["step"] == 20


def test_a_run_of_one_step_learns_at_the_peak(start):
    for length in ({"steps": 1}, {"stop_after_epochs": 0.2}):
        (row,) = start(**length).history
        assert row["learning_rate"] == pytest.approx(1e-3)
