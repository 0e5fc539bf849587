"""A worker of a study: asks the oracle for a trial, runs it, reports its result, and repeats.

The oracle is the study's own, or that of another machine: KerasTuner's client has the same methods.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from keras_tuner.engine.trial import Trial

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs.resolved import load_run_recipe
from kerasft.studies.tuning.budget import write_time
from kerasft.studies.tuning.finals import BASELINE
from kerasft.studies.tuning.job import TRIAL_SETTINGS, TRIALS, Job, Trials
from kerasft.studies.tuning.journal import COMPLETED, FAILED, PRUNED, JobResult
from kerasft.studies.tuning.oracle import IDLE, STOPPED, Proposer, job_of, read_proposal
from kerasft.studies.tuning.plan import BASE, Plan
from kerasft.studies.tuning.private import OracleClient
from kerasft.studies.tuning.progress import best_of, find_lag, read_curve
from kerasft.studies.tuning.space import HYPERBAND, describe
from kerasft.training.loop.interrupt import InterruptWatch

_POLL_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Search:
    """What a worker needs to run trials of a study in its folder.

    Args:
        log: Called when a job starts or ends.
        check: Called repeatedly; may raise to stop.
        metric: The measured metric, `validation/accuracy`; the baseline decides it.
        same_data_as: The baseline's run directory; all runs must have its data.
        pins: Settings that were left open, as the baseline has them: the headline, and the data if
            it fell back on the sample.
    """

    folder: RunDir
    plan: Plan
    runner: Trials
    log: Callable[[str], object]
    check: Callable[[], object]
    metric: str = ""
    same_data_as: Path | None = None
    pins: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def settle(self, baseline: JobResult) -> Search:
        """Returns a copy with what the finished baseline run fixes for all others."""
        recipe, path, pins = self.plan.recipe, Path(baseline.run_dir), {}
        ran = load_run_recipe(RunDir(path))
        if ran.data.dataset != recipe.data.dataset:
            pins["data.dataset"] = ran.data.dataset
        if recipe.evaluation.headline is None and recipe.training.monitor == "auto":
            pins["evaluation.headline"] = baseline.metric.removeprefix("validation/")
        return dataclasses.replace(self, metric=baseline.metric, same_data_as=path, pins=pins)

    def job(self, name: str, values: Mapping[str, Any], **more: Any) -> Job:
        """Returns a job of the study; `more` are `epochs` and `continues` of `Job`."""
        folder = RunDir(self.folder.path / TRIALS / name)
        changes = {**self.pins, **values, **TRIAL_SETTINGS}
        return Job(name, folder, changes, same_data_as=self.same_data_as, **more)

    def outcome_of(self, name: str) -> JobResult | None:
        """Returns the result of a job, from its folder; `None` before it has ended."""
        return self.job(name, {}).outcome()

    def work(self, oracle: Proposer, tuner_id: str, slot: int) -> None:
        """Runs one trial after another, until the oracle has no more.

        `oracle` may also be KerasTuner's `OracleClient`. `slot` is the worker's number on this
        machine, from 0.
        """
        prunes = self.plan.pruning and self.plan.method != HYPERBAND
        while True:
            self.check()
            trial = oracle.create_trial(tuner_id)
            if trial.status == STOPPED:
                return
            if trial.status == IDLE:
                time.sleep(_POLL_SECONDS)
                continue
            self._run_trial(trial, slot, prunes)
            oracle.end_trial(trial)

    def _run_trial(self, trial: Trial, slot: int, prunes: bool) -> None:
        name = job_of(trial.trial_id)
        proposal = read_proposal(trial.hyperparameters.values, self.plan.recipe.tuning)
        continues = None
        if proposal.continues is not None:
            before = self.outcome_of(proposal.continues)
            if before.status != COMPLETED:
                reason = f"{proposal.continues}, with which it would go on, has failed"
                self.job(name, proposal.values).end(JobResult(FAILED, None, 0.0, reason=reason))
                return
            continues = Path(before.run_dir)
        job = self.job(name, proposal.values, epochs=proposal.epochs, continues=continues)
        self.run_job(job, slot, prunes)

    def run_job(self, job: Job, slot: int, prunes: bool = False) -> JobResult:
        """Runs a job unless its folder has a result, and writes the result there.

        A job whose settings conflict with the recipe fails without starting a process. `slot` is
        the worker's number; with `prunes` the job is ended if it lags behind.
        """
        outcome = job.outcome() or job.end(self._run(job, slot, prunes))
        value = "" if outcome.value is None else f", {outcome.metric} {outcome.value:.4f}"
        reason = outcome.reason and f": {outcome.reason}"
        self.log(f"{job.name} {outcome.status} in {write_time(outcome.seconds)}{value}{reason}")
        return outcome

    def _run(self, job: Job, slot: int, prunes: bool) -> JobResult:
        try:
            load_recipe(self.folder.path / BASE, job.changes)
        except UserError as error:
            return JobResult(FAILED, None, 0.0, reason=" ".join(str(error).split()))
        self.log(f"{job.name} {'goes on' if job.run_dir() else 'begins'}: {describe(job.changes)}")
        watch = self._find_lag if prunes else None
        outcome = self.runner.run(job, slot=slot, check=self.check, watch=watch)
        if outcome.status == PRUNED:
            value = best_of(read_curve(Path(outcome.run_dir), self.metric), self.metric)
            outcome = dataclasses.replace(outcome, value=value, metric=self.metric)
        return outcome

    def _find_lag(self, run_dir: Path) -> str | None:
        folders = (self.folder.path / TRIALS).glob("*/")  # of other machines as well
        ended = filter(None, [self.outcome_of(folder.name) for folder in folders])
        return find_lag(run_dir, ended, self.metric)


def side_by_side(work: Callable[[int], object], count: int, errors: list[BaseException]) -> None:
    """Runs `work(0)`, `work(1)`, ... in threads until all are done; raises the first exception.

    Exceptions are put into `errors`, where the checks of the other workers see them.
    """
    if count == 1:
        work(0)
        return

    with ThreadPoolExecutor(count) as pool:  # KerasTuner distinguishes its callers by thread name
        for done in as_completed([pool.submit(work, slot) for slot in range(count)]):
            errors += filter(None, [done.exception()])
    if errors:
        raise errors[0]


def join(
    plan: Plan, *, log: Callable[[str], object] = lambda line: None, runner: Trials | None = None
) -> None:
    """Runs trials of a study led by another machine, until there are no more.

    Raises `InterruptRequested` after Ctrl-C or SIGTERM.
    """
    runner = runner or build_runner(plan, plan.folder)
    with InterruptWatch(lambda: log("Stopping: the trial saves a checkpoint.")) as watch:
        search = Search(plan.folder, plan, runner, log, watch.check)
        while (baseline := search.outcome_of(BASELINE)) is None:
            watch.check()
            time.sleep(_POLL_SECONDS)
        oracle = OracleClient(None)  # of the chief that KerasTuner's variables name
        search.settle(baseline).work(oracle, oracle.tuner_id, 0)


def build_runner(plan: Plan, folder: RunDir) -> Trials:
    """Returns a runner of jobs as processes on this machine."""
    base = plan.source or (str(folder.path / BASE),)
    return Trials(base, num_workers=plan.workers, gpus=visible_gpus(plan))


def visible_gpus(plan: Plan) -> tuple[str, ...]:
    """Returns the ids of the visible GPUs, without using them.

    Raises `UserError` if there are some, but fewer than workers.
    """
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    if 0 < count < plan.workers:
        raise UserError(
            "Each worker needs a GPU of its own.",
            received=f"--workers {plan.workers}",
            expected=f"at most {count}, as many as there are GPUs",
        )
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    ids = named.split(",") if named else map(str, range(count))
    return tuple(ids)[:count]
