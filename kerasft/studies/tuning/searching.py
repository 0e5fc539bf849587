"""A worker of a study: asks the oracle for a trial, runs it, reports its result, and repeats.

The oracle is the study's own, or that of another machine: KerasTuner's client has the same methods.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from keras_tuner.engine.trial import Trial

from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir
from kerasft.runs.data.source import TEST, split_names
from kerasft.runs.resolved import load_run_recipe
from kerasft.studies.tuning.budget import write_time
from kerasft.studies.tuning.job import TRIAL_SETTINGS, TRIALS, Job, best_of, note, run_job
from kerasft.studies.tuning.keras_tuner.journal import COMPLETED, FAILED, PRUNED, JobResult
from kerasft.studies.tuning.keras_tuner.oracle import IDLE, STOPPED, job_of, read_proposal
from kerasft.studies.tuning.plan import BASE, Plan
from kerasft.studies.tuning.space import HYPERBAND
from kerasft.studies.tuning.watching import Pruner

_IDLE_SECONDS = 0.5


class Runner(Protocol):
    """Runs the jobs of a study: `trial.Trials`, or a test double."""

    def run(
        self,
        job: Job,
        *,
        slot: int,
        check: Callable[[], object],
        watch: Callable[[Path], str | None] = ...,
    ) -> JobResult:
        """Runs a job to its end; see `Trials.run`."""

    def test(self, run_dir: Path, check: Callable[[], object]) -> dict[str, float]:
        """Evaluates a run on its test split; see `Trials.test`."""


class Oracle(Protocol):
    """Proposes trials: a `Proposer`, or KerasTuner's `OracleClient`."""

    def create_trial(self, tuner_id: str) -> Trial:
        """Returns the next trial of a worker."""

    def end_trial(self, trial: Trial) -> None:
        """Called when a trial has ended."""


@dataclasses.dataclass(frozen=True)
class Settled:
    """What the baseline run fixes for all others.

    Args:
        metric: The measured metric, `validation/accuracy`.
        run_dir: The baseline's run directory; all runs must have its data.
        pins: Settings that were left open: the headline; the data, if it fell back on the sample.
    """

    metric: str
    run_dir: Path | None = None
    pins: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def settle(recipe: Recipe, outcome: JobResult) -> Settled:
    """Returns what the finished baseline run fixes."""
    pins = {}
    ran = load_run_recipe(RunDir(Path(outcome.run_dir)))
    if ran.data.dataset != recipe.data.dataset:
        pins["data.dataset"] = ran.data.dataset
    if recipe.evaluation.headline is None and recipe.training.monitor == "auto":
        pins["evaluation.headline"] = outcome.metric.removeprefix("validation/")
    return Settled(outcome.metric, Path(outcome.run_dir), pins)


def why_untested(recipe: Recipe, run_dir: str | None) -> str:
    """Returns why a winner is not to be tested; empty: it is.

    `run_dir` is the winner's run; `None`: there is none.
    """
    if run_dir is None:
        return "there is no winner"
    if not recipe.evaluation.test:
        return "evaluation.test=false"
    names = split_names(load_run_recipe(RunDir(Path(run_dir))))
    return "" if TEST in names else "there is no test split"


@dataclasses.dataclass(frozen=True)
class Search:
    """What a worker needs to run trials of a study.

    `log` is called when a job starts or ends; `check` repeatedly, and may raise to stop.
    """

    folder: RunDir
    plan: Plan
    settled: Settled
    runner: Runner
    log: Callable[[str], object]
    check: Callable[[], object]

    def job(
        self,
        name: str,
        values: Mapping[str, Any],
        epochs: int | None = None,
        continues: Path | None = None,
    ) -> Job:
        """Returns a job of the study; see `Job`."""
        folder = RunDir(self.folder.path / TRIALS / name)
        changes = {**self.settled.pins, **values, **TRIAL_SETTINGS}
        return Job(name, folder, changes, epochs, continues, self.settled.run_dir)

    def outcome_of(self, name: str) -> JobResult | None:
        """Returns the result of a job, from its folder; `None` before it has ended."""
        return self.job(name, {}).outcome()

    def outcomes(self) -> dict[str, JobResult]:
        """Returns the result of each job that has a folder and has ended."""
        folders = sorted((self.folder.path / TRIALS).glob("*/"))
        found = {folder.name: self.outcome_of(folder.name) for folder in folders}
        return {name: outcome for name, outcome in found.items() if outcome is not None}

    def work(self, oracle: Oracle, tuner_id: str, slot: int) -> None:
        """Runs one trial after another, until the oracle has no more.

        `slot` is the worker's number on this machine, from 0.
        """
        pruner = Pruner(self.outcomes, self.settled.metric)
        prunes = self.plan.pruning and self.plan.method != HYPERBAND
        while True:
            self.check()
            trial = oracle.create_trial(tuner_id)
            if trial.status == STOPPED:
                return
            if trial.status == IDLE:
                time.sleep(_IDLE_SECONDS)
                continue
            watch = pruner.why_end if prunes else _go_on
            self.run_trial(trial, slot, watch)
            oracle.end_trial(trial)

    def run_trial(self, trial: Trial, slot: int, watch: Callable[[Path], str | None]) -> JobResult:
        """Runs a trial, and writes the result to its folder."""
        name = job_of(trial.trial_id)
        proposal = read_proposal(name, trial.hyperparameters.values, self.plan.recipe.tuning)
        continues = None
        if proposal.continues is not None:
            before = self.outcome_of(proposal.continues)
            if before.status != COMPLETED:
                reason = f"{proposal.continues}, with which it would go on, has failed"
                outcome = JobResult(FAILED, None, 0.0, reason=reason)
                return note(self.job(name, proposal.values), outcome)
            continues = Path(before.run_dir)
        job = self.job(name, proposal.values, proposal.epochs, continues)
        return self.run_job(job, slot, watch)

    def run_job(
        self, job: Job, slot: int, watch: Callable[[Path], str | None] | None = None
    ) -> JobResult:
        """Runs a job unless its folder has a result.

        `slot` is the worker's number. `watch` returns for a run directory why to prune it; `None`:
        never.
        """

        def run() -> JobResult:
            outcome = self.runner.run(job, slot=slot, check=self.check, watch=watch or _go_on)
            if outcome.status != PRUNED:
                return outcome
            metric = self.settled.metric
            value = best_of(Path(outcome.run_dir), metric)
            return dataclasses.replace(outcome, value=value, metric=metric)

        outcome = run_job(job, run, self.folder.path / BASE, self.log)
        self.log(f"{job.name} {describe_outcome(outcome)}")
        return outcome


def describe_outcome(outcome: JobResult) -> str:
    """Returns a line on a job's result."""
    value = "" if outcome.value is None else f", {outcome.metric} {outcome.value:.4f}"
    reason = f": {outcome.reason}" if outcome.reason else ""
    return f"{outcome.status} in {write_time(outcome.seconds)}{value}{reason}"


def side_by_side(work: Callable[[int], object], count: int, errors: list[BaseException]) -> None:
    """Runs `work(0)`, `work(1)`, ... in threads until all are done; raises the first exception.

    A count of 1 runs in this thread. Exceptions are also put into `errors`, where the checks of
    the other workers see them.
    """
    if count == 1:
        work(0)
        return

    def guarded(slot: int) -> None:
        try:
            work(slot)
        except BaseException as error:  # stops the others; the first is raised below
            errors.append(error)

    # KerasTuner distinguishes its callers by thread name.
    threads = [
        threading.Thread(target=guarded, args=(slot,), name=f"worker-{slot}")
        for slot in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(_IDLE_SECONDS)  # in between, signals are handled
    if errors:
        raise errors[0]


def shared_out(items: Sequence[Any], work: Callable[[Any, int], object]) -> Callable[[int], None]:
    """Returns a worker that takes the next item until there is none.

    `work` is called with an item and the worker's number.
    """
    waiting, lock = list(items), threading.Lock()

    def take(slot: int) -> None:
        while True:
            with lock:
                if not waiting:
                    return
                item = waiting.pop(0)
            work(item, slot)

    return take


def _go_on(run_dir: Path) -> None:
    """Prunes no run."""
