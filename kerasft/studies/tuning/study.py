"""A study: baseline, search, finals, and one evaluation on the test set."""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from kerasft.console import program
from kerasft.errors import UserError
from kerasft.metrics.spread import spread
from kerasft.run_dir import RunDir
from kerasft.studies.tuning import ending as why
from kerasft.studies.tuning import finals as end
from kerasft.studies.tuning.budget import Budget
from kerasft.studies.tuning.ending import Ending, describe_ending
from kerasft.studies.tuning.finals import BASELINE, Finalist, Tried
from kerasft.studies.tuning.found import Found
from kerasft.studies.tuning.keras_tuner.journal import (
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
from kerasft.studies.tuning.keras_tuner.oracle import build_oracle, read_proposal
from kerasft.studies.tuning.keras_tuner.proposer import Proposer
from kerasft.studies.tuning.plan import Plan
from kerasft.studies.tuning.searching import (
    Runner,
    Search,
    Settled,
    settle,
    shared_out,
    side_by_side,
    why_untested,
)
from kerasft.studies.tuning.space import HYPERBAND, count_points
from kerasft.studies.tuning.trial import Job
from kerasft.studies.tuning.watching import check_time_of_one, discard_weights
from kerasft.training.loop.interrupt import InterruptRequested, InterruptWatch

_POLL_SECONDS = 1.0


class Study:
    """A study in its folder, from `Plan.open`; `runner` runs its jobs.

    `log` is called with progress messages; `clock` returns seconds, increasing.
    """

    def __init__(
        self,
        plan: Plan,
        folder: RunDir,
        runner: Runner,
        *,
        log: Callable[[str], object] = lambda line: None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.plan = plan
        self.folder = folder
        self.journal = Journal(folder.path / JOURNAL)
        used = self.journal.used_seconds()
        self.budget = Budget(plan.budget_seconds, used, plan.workers, clock)
        self.finals = plan.finals
        self.search = Search(folder, plan, Settled(""), runner, log, self._check)
        self._log = log
        self._errors: list[BaseException] = []
        self._failures = 0
        self._watch = InterruptWatch()

    def run(self, serve: Callable[[Proposer], object] = lambda proposer: None) -> Found:
        """Runs what is not done yet.

        `serve` is called with the oracle when the search starts, to serve it to other machines.
        Raises `InterruptRequested` after Ctrl-C or SIGTERM; the study can be resumed.
        """
        self.journal.add(OPENED)
        self._watch = InterruptWatch(lambda: self._log("Stopping: trials save checkpoints."))
        try:
            with self._watch:
                self._run_baseline()
                ending = self._run_search(serve)
                return self._finish(self._run_finals(), ending)
        except InterruptRequested:
            folder = shlex.quote(str(self.folder.path))
            self._log(f"Go on with it: {program('kerasft')} tune --resume {folder}")
            raise

    def tried(self) -> tuple[Tried, ...]:
        """Returns the baseline and the trials that have ended, in the order of starting."""
        outcomes, found = self.journal.outcomes(), []
        for event in self.journal.of(STARTED):
            job = event["job"]
            if job in outcomes and "values" in event:
                proposal = read_proposal(job, event["values"], self.plan.recipe.tuning)
                found.append(Tried(job, proposal.values, outcomes[job], proposal.epochs))
        return tuple(found)

    def _run_baseline(self) -> None:
        """Runs the unchanged recipe, which fixes metric, data and time of all other runs."""
        recipe, job = self.plan.recipe, self.search.job(BASELINE, {})
        if self.journal.outcome(BASELINE) is None:
            alone = dataclasses.replace(self.search, check=lambda: self._check_with_time(job))
            self._journaled(job, lambda: alone.run_job(job, 0), values={})
        outcome = self.journal.outcome(BASELINE)
        if outcome.status != COMPLETED:
            lacks = "does not run" if outcome.metric is None else "has no figure"
            raise UserError(
                f"The recipe as it is {lacks}, so that there is nothing to compare with.",
                received=outcome.reason,
                fix=f"{job.folder.path} keeps what it said: mend the recipe, and start anew.",
            )
        self.search = dataclasses.replace(self.search, settled=settle(recipe, outcome))
        check_time_of_one(recipe, None, self.budget, outcome.seconds)
        wanted = self.plan.finals
        self.finals = self.budget.choose_finals(
            wanted, outcome.seconds, fixed=self.plan.finals_fixed
        )
        if self.finals != wanted:
            self._log(
                f"The budget leaves room for {self.finals.finalists} finalists with "
                f"{self.finals.seeds} seeds, not for {wanted.finalists} with {wanted.seeds}."
            )

    def _run_search(self, serve: Callable[[Proposer], object]) -> Ending:
        """Runs the oracle's proposals, until there are no more, or no time is left."""
        plan, settled = self.plan, self.search.settled
        oracle = build_oracle(
            plan.method,
            plan.recipe.tuning,
            seed=plan.recipe.training.seed,
            metric=settled.metric,
            max_epochs=int(plan.recipe.training.epochs) if plan.method == HYPERBAND else None,
            endless=plan.trials is not None or plan.budget_seconds is not None,
        )
        proposer = Proposer(
            oracle,
            self.journal,
            why_stop=self._why_stop,
            outcome_of=self.search.outcome_of,
            ended=self._ended,
        )
        serve(proposer)
        side_by_side(
            lambda slot: self.search.work(proposer, f"worker-{slot}", slot),
            plan.workers,
            self._errors,
        )
        while proposer.is_waited_for:  # on another machine
            self._check()
            time.sleep(_POLL_SECONDS)
        ending = describe_ending(
            proposer.stopped_because,
            trials=self.journal.num_trials(),
            asked=plan.trials,
            points=count_points(plan.recipe.tuning),
            budget_seconds=plan.budget_seconds,
        )
        self._log(ending.message)
        if plan.method != HYPERBAND or ending.reason in (why.BRACKETS, why.EXHAUSTED):
            self._discard()  # a resumed Hyperband needs its runs
        tried = self.tried()
        if len(tried) > 1 and all(t.outcome.status == FAILED for t in tried[1:]):
            raise UserError(
                f"Of {len(tried) - 1} trials all have failed.",
                received=tried[-1].outcome.reason,
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
        best = self._best_trial()
        outcomes = {trial.job: trial.outcome for trial in self.tried()}
        discard_weights(outcomes, None if best is None else best.outcome.run_dir)

    def _best_trial(self) -> Tried | None:
        best = end.choose_finalists(self.tried(), 1, self.search.settled.metric)
        return best[0] if best else None

    def _run_finals(self) -> tuple[Finalist, ...]:
        """Runs the best trials and the baseline with new seeds."""
        metric = self.search.settled.metric
        chosen = end.choose_finalists(self.tried(), self.finals.finalists, metric)
        if not chosen:
            return ()
        baseline = self.tried()[0]
        own_seed = self.plan.recipe.training.seed
        seeds = [(own_seed + n) % 2**31 for n in range(1, self.finals.seeds + 1)]
        jobs = {
            (trial.job, seed): self.search.job(
                f"final-{trial.job}-seed-{seed}", {**trial.values, "training.seed": seed}
            )
            for seed in seeds
            for trial in (baseline, *chosen)
        }

        def run(job: Job, slot: int) -> None:
            if self.journal.outcome(job.name) is None:
                self._journaled(job, lambda: self.search.run_job(job, slot))

        side_by_side(shared_out(list(jobs.values()), run), self.plan.workers, self._errors)
        outcomes = {key: self.journal.outcome(job.name) for key, job in jobs.items()}
        return tuple(
            Finalist(
                trial.job,
                trial.values,
                spread([outcomes[trial.job, seed].value for seed in seeds]),
                tuple(outcomes[trial.job, seed].run_dir for seed in seeds),
                tuple(outcomes[trial.job, seed].loss for seed in seeds),
            )
            for trial in (baseline, *chosen)
        )

    def _finish(self, finalists: tuple[Finalist, ...], ending: Ending) -> Found:
        """Chooses the winner and tests it."""
        settled, metric = self.search.settled, self.search.settled.metric
        if finalists:
            winner = end.choose_winner(finalists, metric)
            conclusion = end.conclude(winner, finalists, metric)
        else:
            best = self._best_trial()
            winner = None if best is None else end.alone(best)
            conclusion = end.conclude_without_finals(best, self.tried()[0], metric)
        run = None if winner is None else end.best_run(winner, metric)
        untested = why_untested(self.plan.recipe, run)
        test = {} if untested else self._test(run)
        if test:
            self._discard()
        tried = self.tried()
        return Found(settled, tried, finalists, winner, conclusion, ending, run, test, untested)

    def _test(self, run_dir: str) -> Mapping[str, float]:
        """Evaluates the winner on the test set, once per study; journaled only afterwards."""
        tested = find_test(self.journal.events)
        if tested is not None:
            return tested["metrics"]
        self._log(f"Testing the winner: {run_dir}")
        metrics = self.search.runner.test(Path(run_dir), self._check)
        self.journal.add(TESTED, run_dir=run_dir, metrics=metrics)
        return metrics

    def _journaled(self, job: Job, run: Callable[[], JobResult], **fields: object) -> None:
        """Runs a job that no oracle has proposed, and journals its start and end."""
        if all(event["job"] != job.name for event in self.journal.of(STARTED)):
            self.journal.add(STARTED, job=job.name, **fields)
        self.journal.end(job.name, run())

    def _check_with_time(self, job: Job) -> None:
        self._check()
        check_time_of_one(self.plan.recipe, job.run_dir(), self.budget)

    def _check(self) -> None:
        self._watch.check()
        if self._errors:
            raise self._errors[0]
