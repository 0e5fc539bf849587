"""A search with real processes: interrupted in the middle of a trial, gone on with, tested once.

The recipe as it is and the finals are runs as any other: they are made beforehand, in this process.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs import train
from kerasft.studies.tuning.job import Job
from kerasft.studies.tuning.plan import make_plan
from kerasft.studies.tuning.study import run_study
from kerasft.training.loop.interrupt import InterruptRequested

pytestmark = pytest.mark.slow

STEPS = 300
RECIPE = f"""
[data]
dataset = "builtin-sample"
train_examples = 80
test_examples = 20
[model]
preset = "tiny_random"
sequence_length = 16
[training]
steps = {STEPS}
batch_size = 8
evaluate_every_steps = 100
checkpoint_every_steps = 20
[evaluation]
bootstrap_resamples = 10
[tuning]
"training.learning_rate" = {{choices = [1e-3, 1e-2]}}
"""


@pytest.fixture
def plan(tmp_path, monkeypatch, repository):
    """A search of one trial, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(repository))
    Path("mine.toml").write_text(RECIPE)
    usual = dict.fromkeys(("budget", "workers", "resume"))
    return make_plan(
        argparse.Namespace(
            recipe="mine.toml",
            overrides=[],
            method="grid",
            trials=1,
            finalists=1,
            seeds=1,
            pruning=True,
            **usual,
        )
    )


def make_runs(plan, folder: RunDir) -> None:
    """Makes the runs of the recipe as it is and of the finals: one, and copies of it."""
    recipe = load_recipe("mine.toml", {"evaluation.test": False, "export.enabled": False})
    short = dataclasses.replace(recipe.training, steps=2)
    job = Job("baseline", RunDir(folder.path / "trials" / "baseline"), {})
    recipe = dataclasses.replace(recipe, training=short)
    path = train.run(recipe, runs_folder=job.folder.path).path
    job.end(job.read_outcome(1.0))
    for name in ("baseline", "trial-001"):
        final = Job(
            f"final-{name}-seed-2", RunDir(folder.path / "trials" / f"final-{name}-seed-2"), {}
        )
        shutil.copytree(path, final.folder.path / path.name)
        final.end(final.read_outcome(1.0))


def steps_done(folder: RunDir) -> int:
    found = list(folder.path.glob("trials/trial-001/*/history.csv"))
    return found[0].read_bytes().count(b"\n") - 1 if found else 0


def press_ctrl_c_after(step: int, folder: RunDir) -> None:
    while steps_done(folder) < step:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


def test_a_search_is_interrupted_and_goes_on(plan):
    folder = plan.open()
    make_runs(plan, folder)
    plan = dataclasses.replace(plan, folder=folder)
    told = []
    threading.Thread(target=press_ctrl_c_after, args=(50, folder), daemon=True).start()
    with pytest.raises(InterruptRequested):
        run_study(plan, log=told.append)
    assert f"tune --resume {folder.path}" in told[-1]
    assert 50 <= steps_done(folder) < STEPS

    found, _ = run_study(plan, log=told.append)
    stderr = (folder.path / "trials" / "trial-001" / "stderr.txt").read_text()
    assert stderr.count("Resuming") == 1
    assert steps_done(folder) == STEPS
    with (folder.path / "trials.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["completed", "completed"]
    assert 0 <= found.test["test/accuracy"] <= 1
    tested = [path.parent for path in folder.path.glob("trials/*/*/predictions-test.npz")]
    assert tested == [Path(found.best_run)]
    best = load_recipe(folder.path / "best.toml")
    assert (best.name, best.evaluation.test, best.export.enabled) == ("mine_tuned", True, True)
