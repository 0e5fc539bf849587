"""A study whose trials take no time: what they reach is a function of their settings."""

from __future__ import annotations

import argparse
import dataclasses
import math
import time

import pytest

from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.journal import JobResult, Journal
from kerasft.studies.tuning.oracle import Proposer, build_oracle
from kerasft.studies.tuning.plan import BASE, Plan, make_plan
from kerasft.studies.tuning.study import run_study
from kerasft.training.callbacks.history import STEP_COLUMNS
from kerasft.training.loop.interrupt import InterruptRequested

METRIC = "validation/accuracy"


class FakeRunner:
    """Stands for the processes of a study.

    Args:
        score: From a recipe to what its run reaches.
        stop_after: Ctrl-C comes in the middle of this job, counted from 1.
        fails: Tells of a job and its recipe whether it crashes.
        seconds: What a run takes.
    """

    def __init__(self, score, *, stop_after=None, fails=lambda job, recipe: False, seconds=10.0):
        self.score, self.stop_after, self.fails, self.seconds = score, stop_after, fails, seconds
        self.jobs, self.tested, self.resumed = [], [], []
        self.pruned = None

    def run(self, job, *, slot, check, watch=None):
        check()
        self.jobs.append(job)
        run_dir = job.run_dir()
        if run_dir is None:
            run_dir = RunDir(job.folder.path / "run-20260101-000000")
            run_dir.path.mkdir(parents=True)
        else:
            self.resumed.append(job.name)
        stop = {} if job.epochs is None else {"training.stop_after_epochs": job.epochs}
        base = job.folder.path.parent.parent / BASE
        recipe = load_recipe(base, {**job.changes, **stop})
        run_dir.write_text("recipe.toml", recipe.to_toml())
        (run_dir.checkpoints_folder / "best").mkdir(parents=True, exist_ok=True)
        if len(self.jobs) == self.stop_after:
            raise InterruptRequested()
        if self.fails(job, recipe):
            (job.folder.path / "stderr.txt").write_text("Traceback\nMemoryError: too large\n")
            return job.result(1, self.seconds, None)
        value = self.score(recipe)
        cells = ["9", "1", *["1"] * (len(STEP_COLUMNS) - 2), str(value)]
        text = "\n".join([",".join((*STEP_COLUMNS, METRIC)), ",".join(cells), ""])
        run_dir.write_text("history.csv", text)
        reason = watch(run_dir.path) if watch else None
        if reason:
            return job.result(143, self.seconds, reason)
        result = {"metrics": {METRIC: value}, "task": {"headline": "accuracy"}}
        run_dir.write_json("metrics.json", result)
        return job.result(0, self.seconds, None)

    def test(self, run_dir, check):
        self.tested.append(run_dir)
        return {"test/accuracy": 0.75}

    @property
    def names(self):
        return [job.name for job in self.jobs]


FakeRunner.test.__test__ = False


def distance(recipe):
    """Is best at a rate of 3e-5 and batches of 32; a seed changes it a little."""
    training = recipe.training
    noise = 0.001 * (training.seed % 3)
    away = abs(math.log(training.learning_rate / 3e-5)) + abs(training.batch_size - 32) / 100
    return 0.9 - 0.05 * away + noise


@pytest.fixture
def score():
    """The usual score of a recipe."""
    return distance


@pytest.fixture
def make_runner(score):
    """Makes a stand-in for the processes of a study."""
    return lambda score=score, **more: FakeRunner(score, **more)


@pytest.fixture
def study():
    """Runs a study as a command line says; returns what was found, its folder and what was told.

    A new one has one finalist and one new seed, unless they are given.
    """

    def run(runner, recipe="glue_mrpc", *overrides, clock=time.monotonic, told=None, **options):
        told = [] if told is None else told
        if "resume" not in options:
            options = {"finalists": 1, "seeds": 1, **options}
        plan = make_plan(arguments_of(recipe, *overrides, **options))
        found, folder = run_study(plan, runner=runner, log=told.append, clock=clock)
        return found, folder, told

    return run


def arguments_of(recipe="glue_mrpc", *overrides, **options):
    usual = {
        **dict.fromkeys(("method", "trials", "budget", "finalists", "seeds", "workers", "resume")),
        "pruning": True,
    }
    return argparse.Namespace(recipe=recipe, overrides=list(overrides), **{**usual, **options})


@pytest.fixture
def make_arguments():
    """Makes the arguments of a command line."""
    return arguments_of


@pytest.fixture(scope="session")
def make_oracle():
    """Makes the oracle of a method for a space; Hyperband's longest trials have `epochs`."""

    def make(method, space, *, seed=1, metric=METRIC, epochs=9, trials=None):
        base = load_recipe("glue_mrpc", {"training.epochs": epochs, "training.seed": seed})
        recipe = dataclasses.replace(base, tuning=tuple(space))
        return build_oracle(Plan(recipe, method, trials=trials), metric)

    return make


@pytest.fixture
def make_proposer(tmp_path, make_oracle):
    """Makes a proposer on the journal of this test, to which each trial has the same outcome."""

    def make(method, space, *, outcome=None, why_stop=lambda: "", **more):
        outcome = outcome or JobResult("completed", 0.5, 1.0)
        journal, oracle = Journal(tmp_path / "journal.jsonl"), make_oracle(method, space, **more)
        return Proposer(oracle, journal, outcome_of=lambda job: outcome, why_stop=why_stop)

    return make
