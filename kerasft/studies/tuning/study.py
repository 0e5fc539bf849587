"""A study: baseline, search, finals, and one evaluation on the test set."""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from kerasft.console import program
from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.runs.data.source import TEST, split_names
from kerasft.runs.resolved import load_run_recipe
from kerasft.studies.tuning import ending as why
from kerasft.studies.tuning import finals as end
from kerasft.studies.tuning.budget import Budget
from kerasft.studies.tuning.ending import Ending, describe_ending
from kerasft.studies.tuning.finals import BASELINE, Tried
from kerasft.studies.tuning.job import Job, Trials
from kerasft.studies.tuning.journal import (
    COMPLETED,
    FAILED,
    JOURNAL,
    OPENED,
    STARTED,
    TESTED,
    JobResult,
    Journal,
    find_test,
)
from kerasft.studies.tuning.oracle import Proposer, build_oracle, read_proposal
from kerasft.studies.tuning.plan import Plan
from kerasft.studies.tuning.private import offered
from kerasft.studies.tuning.progress import share_done
from kerasft.studies.tuning.report import Found, write_board, write_results, write_trials
from kerasft.studies.tuning.searching import Search, build_runner, side_by_side, visible_gpus
from kerasft.studies.tuning.space import HYPERBAND
from kerasft.training.loop.interrupt import InterruptRequested, InterruptWatch

_POLL_SECONDS = 1.0


def run_study(
    plan: Plan,
    *,
    log: Callable[[str], object] = lambda line: None,
    runner: Trials | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Found, RunDir]:
    """Runs a study to its end, from where an earlier session stopped.

    Args:
        plan: From `make_plan`.
        log: Called with progress messages.
        runner: Runs its jobs; `None`: as processes on this machine.
        clock: Returns seconds, increasing.

    Returns:
        The result, and the folder with `trials.csv`, `result.json` and `best.toml`.

    Raises:
        UserError: For a mistake in recipe or data, or a budget that is too small.
        InterruptRequested: After Ctrl-C or SIGTERM; the study can be resumed.
    """
    visible_gpus(plan)  # enough of them, before a folder is made
    folder = plan.open()
    with folder.lock():
        log(f"The search is kept in {folder.path}.")
        study = Study(plan, folder, runner or build_runner(plan, folder), log, clock)
        return study.run(), folder


class Study:
    """A study in its folder, from `Plan.open`; see `run_study`."""

    def __init__(
        self,
        plan: Plan,
        folder: RunDir,
        runner: Trials,
        log: Callable[[str], object],
        clock: Callable[[], float],
    ):
        self.plan = plan
        self.folder = folder
        self.journal = Journal(folder.path / JOURNAL)
        used = self.journal.used_seconds()
        self.budget = Budget(plan.budget_seconds, used, plan.workers, clock)
        self.finals = plan.finals
        self.search = Search(folder, plan, runner, log, self._check)
        self._log = log
        self._errors: list[BaseException] = []
        self._failures = 0
        self._watch = InterruptWatch(lambda: log("Stopping: trials save checkpoints."))
        self._resume = f"{program('kerasft')} tune --resume {shlex.quote(str(folder.path))}"

    def run(self) -> Found:
        """Runs what is not done yet, and writes the results; see `run_study`."""
        self.journal.add(OPENED)
        try:
            with self._watch, contextlib.ExitStack() as stack:
                self._run_baseline()
                ending = self._run_search(stack)
                found = self._finish(self._run_finals(), ending)
        except InterruptRequested:
            self._log(f"Go on with it: {self._resume}")
            raise
        finally:
            write_trials(self.folder, self.tried(), self.plan.recipe.tuning)
        write_results(self.folder, found)
        return found

    def tried(self) -> tuple[Tried, ...]:
        """Returns the baseline and the trials that have ended, in the order of starting."""
        outcomes, found = self.journal.outcomes(), []
        for event in self.journal.of(STARTED):
            job = event["job"]
            if job in outcomes and "values" in event:
                proposal = read_proposal(event["values"], self.plan.recipe.tuning)
                found.append(Tried(job, proposal.values, (outcomes[job],), proposal.epochs))
        return tuple(found)

    def _run_baseline(self) -> None:
        """Runs the unchanged recipe, which fixes metric, data and time of all other runs."""
        recipe, job = self.plan.recipe, self.search.job(BASELINE, {})

        def check() -> None:
            self._check()
            if self.budget.seconds is not None:
                share = share_done(recipe, job.run_dir())
                self.budget.check_time_of_one(self._resume, share=share)

        outcome = self._run_job(job, 0, dataclasses.replace(self.search, check=check), values={})
        if outcome.status != COMPLETED:
            lacks = "does not run" if outcome.metric is None else "has no figure"
            raise UserError(
                f"The recipe as it is {lacks}, so that there is nothing to compare with.",
                received=outcome.reason,
                fix=f"{job.folder.path} keeps what it said: mend the recipe, and start anew.",
            )
        self.search = self.search.settle(outcome)
        self.budget.check_time_of_one(self._resume, took=outcome.seconds)
        if not self.plan.finals_fixed:
            self.finals = self.budget.choose_finals(self.plan.finals, outcome.seconds)
        if self.finals != self.plan.finals:
            (finalists, seeds), (more, longer) = self.finals, self.plan.finals
            room = f"{finalists} finalists with {seeds} seeds, not for {more} with {longer}."
            self._log(f"The budget leaves room for {room}")

    def _run_search(self, stack: contextlib.ExitStack) -> Ending:
        """Runs the oracle's proposals, until there are no more, or no time is left.

        Workers on other machines are served until `stack` is closed, so that all hear of the end.
        """
        plan = self.plan
        proposer = Proposer(
            build_oracle(plan, self.search.metric),
            self.journal,
            why_stop=self._why_stop,
            outcome_of=self.search.outcome_of,
            ended=self._ended,
        )
        write_board(self.folder, plan.recipe.tuning, self.search.metric)
        if plan.address is not None:
            stack.enter_context(offered(proposer, plan.address))
        side_by_side(
            lambda slot: self.search.work(proposer, f"worker-{slot}", slot),
            plan.workers,
            self._errors,
        )
        while proposer.is_waited_for:  # on another machine
            self._check()
            time.sleep(_POLL_SECONDS)
        ending = describe_ending(proposer.stopped_because, plan, self.journal.num_trials())
        self._log(ending.message)
        if plan.method != HYPERBAND or ending.reason in (why.BRACKETS, why.EXHAUSTED):
            self._discard()  # a resumed Hyperband needs its runs
        trials = self.tried()[1:]
        if trials and all(trial.outcome.status == FAILED for trial in trials):
            raise UserError(
                f"Of {len(trials)} trials all have failed.",
                received=trials[-1].outcome.reason,
                fix="mend the space: [tuning] of the recipe.",
            )
        return ending

    def _why_stop(self) -> str:
        """Returns why no other trial may start; empty: it may."""
        if find_test(self.journal.events) is not None:
            return why.CLOSED
        if self.plan.trials is not None and self.journal.num_trials() >= self.plan.trials:
            return why.TRIALS
        if self._failures >= why.MAX_FAILURES:
            return why.FAILURES
        seconds = [t.outcome.seconds for t in self.tried() if t.outcome.status == COMPLETED]
        return "" if self.budget.fits(seconds, self.finals.runs) else why.BUDGET

    def _ended(self, outcome: JobResult) -> None:
        """Called when a trial ends, here or on another machine."""
        self._failures = self._failures + 1 if outcome.status == FAILED else 0
        if self.plan.method != HYPERBAND:  # it resumes ended runs
            self._discard()

    def _discard(self) -> None:
        """Removes the checkpoints of trials but the best one's: they would fill the disk."""
        best = self._best_trial()
        for run_dir in {trial.outcome.run_dir for trial in self.tried()} - {None}:
            if best is None or run_dir != best.outcome.run_dir:
                shutil.rmtree(RunDir(Path(run_dir)).checkpoints_folder, ignore_errors=True)

    def _best_trial(self) -> Tried | None:
        best = end.choose_finalists(self.tried(), 1, self.search.metric)
        return best[0] if best else None

    def _run_finals(self) -> tuple[Tried, ...]:
        """Runs the best trials and the baseline with new seeds."""
        metric, tried = self.search.metric, self.tried()
        chosen = end.choose_finalists(tried, self.finals.finalists, metric)
        if not chosen:
            return ()
        entered = (tried[0], *chosen)
        own_seed = self.plan.recipe.training.seed
        seeds = [(own_seed + n) % 2**31 for n in range(1, self.finals.seeds + 1)]
        name = "final-{}-seed-{}".format
        waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
        for seed in seeds:
            for trial in entered:
                values = {**trial.values, "training.seed": seed}
                waiting.put(self.search.job(name(trial.job, seed), values))

        def work(slot: int) -> None:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._run_job(waiting.get_nowait(), slot, self.search)

        side_by_side(work, self.plan.workers, self._errors)
        ended = self.journal.outcomes()
        return tuple(
            dataclasses.replace(t, outcomes=tuple(ended[name(t.job, seed)] for seed in seeds))
            for t in entered
        )

    def _finish(self, finalists: tuple[Tried, ...], ending: Ending) -> Found:
        """Chooses the winner and tests it."""
        metric = self.search.metric
        if finalists:
            winner = end.choose_winner(finalists, metric)
            conclusion = end.conclude(winner, finalists, metric)
        else:
            winner = self._best_trial()
            conclusion = end.conclude_without_finals(winner, self.tried()[0], metric)
        run = None if winner is None else end.best_run(winner, metric)
        untested = self._why_untested(run)
        test = {} if untested else self._test(run)
        if test:
            self._discard()
        told = (metric, self.tried(), finalists, winner, conclusion, ending)
        return Found(*told, run, test, untested, self.search.pins)

    def _why_untested(self, run_dir: str | None) -> str:
        """Returns why the winner is not to be tested; empty: it is."""
        if run_dir is None:
            return "there is no winner"
        if not self.plan.recipe.evaluation.test:
            return "evaluation.test=false"
        names = split_names(load_run_recipe(RunDir(Path(run_dir))))
        return "" if TEST in names else "there is no test split"

    def _test(self, run_dir: str) -> Mapping[str, float]:
        """Evaluates the winner on the test set, once per study; journaled only afterwards."""
        tested = find_test(self.journal.events)
        if tested is not None:
            return tested["metrics"]
        self._log(f"Testing the winner: {run_dir}")
        metrics = self.search.runner.test(Path(run_dir), self._check)
        self.journal.add(TESTED, run_dir=run_dir, metrics=metrics)
        return metrics

    def _run_job(self, job: Job, slot: int, search: Search, **fields: object) -> JobResult:
        """Runs a job that no oracle has proposed, once, and journals its start and end."""
        outcome = self.journal.outcomes().get(job.name)
        if outcome is None:
            self.journal.start(job.name, **fields)
            outcome = search.run_job(job, slot)
            self.journal.end(job.name, outcome)
        return outcome

    def _check(self) -> None:
        self._watch.check()
        if self._errors:
            raise self._errors[0]
