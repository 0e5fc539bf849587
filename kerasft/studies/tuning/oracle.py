"""KerasTuner's oracles, adapted to propose new points only, behind the journal of a study.

Proposals and results are written to the disk first. The oracle's state is never saved: when a study
is resumed, the journal is replayed to a new oracle in the same order, which restores random draws,
brackets and grid positions.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras_tuner
from keras_tuner import oracles
from keras_tuner.engine import trial as kt
from sklearn.exceptions import ConvergenceWarning

from kerasft.errors import UserError
from kerasft.metric import lower_is_better
from kerasft.recipe import Dimension
from kerasft.recipe.space import LOG
from kerasft.studies.tuning.ending import BRACKETS, EXHAUSTED, NO_PROPOSAL
from kerasft.studies.tuning.journal import ENDED, FAILED, STARTED, JobResult, Journal
from kerasft.studies.tuning.plan import Plan
from kerasft.studies.tuning.private import InMemory
from kerasft.studies.tuning.space import GRID, HYPERBAND, count_points

RUNNING, IDLE, STOPPED = kt.TrialStatus.RUNNING, kt.TrialStatus.IDLE, kt.TrialStatus.STOPPED
PREFIX = "trial-"  # of trials' job names in the journal
OBJECTIVE = "objective"
_HYPERBAND = "tuner/"  # prefix of the values that Hyperband adds
_ABANDONED = "abandoned-"  # placeholder worker of a trial without one
_MAX_CALLS = 500  # of 20 draws each, for a new point; KerasTuner's 20 miss points. Takes 0.5 s
_KINDS = {
    "random": oracles.RandomSearchOracle,
    "bayesian": oracles.BayesianOptimizationOracle,
    HYPERBAND: oracles.HyperbandOracle,
    GRID: oracles.GridSearchOracle,
}


def build_oracle(plan: Plan, metric: str) -> keras_tuner.Oracle:
    """Builds the oracle of a plan for a metric such as `validation/accuracy`."""
    space, training = plan.recipe.tuning, plan.recipe.training
    settings: dict[str, Any] = {
        "objective": keras_tuner.Objective(OBJECTIVE, "min" if lower_is_better(metric) else "max"),
        "hyperparameters": build_hyperparameters(space),
        "seed": training.seed + 1,  # 0 means a random seed
        "tune_new_entries": False,
        "allow_new_entries": False,
        # kerasft itself ends a search after failures in a row, with a message.
        "max_consecutive_failed_trials": 10**9,
    }
    if plan.method == HYPERBAND:
        is_limited = plan.trials is not None or plan.budget_seconds is not None
        settings["max_epochs"] = int(training.epochs)  # of the longest trials
        settings["hyperband_iterations"] = 0 if is_limited else 1  # 0: endless
    else:
        settings["max_trials"] = None  # the study counts
    if plan.method == "bayesian":
        # KerasTuner draws 3 per dimension at random, which may be all of a small search.
        settings["num_initial_points"] = max(3, len(space) + 1)
    oracle = _adapted(_KINDS[plan.method])(**settings)
    oracle.num_points = count_points(space)
    oracle.verbose = 0
    return oracle


def _adapted(kind: type[keras_tuner.Oracle]) -> type[keras_tuner.Oracle]:
    """Returns an oracle class that proposes new points, and knows when there are none."""
    # A Gaussian process may propose a tried point again and again: then one is drawn at random.
    models = kind is oracles.BayesianOptimizationOracle
    draw = (oracles.RandomSearchOracle if models else kind).populate_space

    class Adapted(InMemory, kind):
        promotes = kind is oracles.HyperbandOracle
        num_points: int | None = None  # of the space; `None`: not countable

        def is_exhausted(self) -> bool:
            return self.num_points is not None and len(self._tried()) >= self.num_points

        def why_stopped(self) -> str:
            if self.is_exhausted():
                return EXHAUSTED
            return BRACKETS if self.promotes and self.hyperband_iterations == 1 else NO_PROPOSAL

        def populate_space(self, trial_id):
            first = super().populate_space(trial_id)
            # In a continuous space only a Gaussian process repeats itself.
            if self.is_exhausted() or (self.num_points is None and not models):
                return first
            more = (draw(self, trial_id) for _ in range(_MAX_CALLS))
            return next(filter(self._is_new, itertools.chain([first], more)), first)

        def _is_new(self, response: Mapping[str, Any]) -> bool:
            values = response.get("values")
            return bool(values) and (self.promotes or _point(values) not in self._tried())

        def _tried(self) -> set[frozenset]:
            return {_point(trial.hyperparameters.values) for trial in self.trials.values()}

    return Adapted


def _point(values: Mapping[str, Any]) -> frozenset[tuple[str, Any]]:
    """Returns the settings among a trial's values."""
    return frozenset(item for item in values.items() if not item[0].startswith(_HYPERBAND))


def build_hyperparameters(space: Sequence[Dimension]) -> keras_tuner.HyperParameters:
    """Builds KerasTuner's form of a space."""
    parameters = keras_tuner.HyperParameters()
    for dimension in space:
        with contextlib.ExitStack() as stack:
            for parent, values in dimension.when:
                scope = parameters.conditional_scope(parent, [_encode(v) for v in values])
                stack.enter_context(scope)
            if dimension.choices is not None:
                parameters.Choice(dimension.name, [_encode(v) for v in dimension.choices])
                continue
            add = parameters.Int if dimension.setting.type is int else parameters.Float
            sampling = "log" if dimension.kind == LOG else "linear"
            add(dimension.name, *dimension.values, sampling=sampling)
    return parameters


def _encode(value: Any) -> Any:
    """Encodes a list or table as JSON text, since KerasTuner has no such values."""
    return json.dumps(value) if isinstance(value, tuple | dict) else value


def _decode(dimension: Dimension, value: Any) -> Any:
    """Undoes `_encode`, and restores booleans, which KerasTuner turns into 0 and 1."""
    kind = dimension.setting.type
    if kind is dict:
        return json.loads(value) if value.startswith("{") else value
    return tuple(json.loads(value)) if kind is tuple else kind(value)


def job_of(trial_id: str) -> str:
    """Returns a trial's job name, counted from 1; KerasTuner counts trials from 0."""
    return f"{PREFIX}{int(trial_id) + 1:03d}"


class Proposal(NamedTuple):
    """Settings to try; of Hyperband how many epochs, and the job whose run is resumed, if any."""

    values: dict[str, Any]
    epochs: int | None = None
    continues: str | None = None


def read_proposal(values: Mapping[str, Any], space: Sequence[Dimension]) -> Proposal:
    """Reads the `values` of an oracle's trial, or of the journal."""
    before = values.get(f"{_HYPERBAND}trial_id")
    return Proposal(
        {d.name: _decode(d, values[d.name]) for d in space if d.name in values},
        epochs=values.get(f"{_HYPERBAND}epochs"),
        continues=None if before is None else job_of(before),
    )


class Proposer:
    """A new oracle to which a journal is replayed; thread-safe, with the methods a worker calls.

    Args:
        why_stop: Called before each new trial; a non-empty reason ends the search.
        outcome_of: Returns the result of a job that has ended.
        ended: Called with the result of each trial, once it is journaled.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        journal: Journal,
        *,
        why_stop: Callable[[], str] = lambda: "",
        outcome_of: Callable[[str], JobResult],
        ended: Callable[[JobResult], object] = lambda outcome: None,
    ):
        self._oracle = oracle
        self._journal = journal
        self._why_stop = why_stop
        self._outcome_of = outcome_of
        self._ended = ended
        self._lock = threading.RLock()
        self.stopped_because = ""
        self._replay()

    def create_trial(self, tuner_id: str) -> kt.Trial:
        """Returns the trial that a worker should run: its own, an abandoned one, or a new one.

        If its status is `IDLE` the worker asks again later; `STOPPED`: the search is over.
        """
        with self._lock:
            ongoing = self._oracle.ongoing_trials
            abandoned = sorted(name for name in ongoing if name.startswith(_ABANDONED))
            if tuner_id not in ongoing and abandoned:
                ongoing[tuner_id] = ongoing.pop(abandoned[0])
            if tuner_id in ongoing:
                return ongoing[tuner_id]
            stop = self._why_stop()
            if self._oracle.is_exhausted() and not self._oracle.promotes:
                stop = stop or EXHAUSTED
            if stop:
                trial = kt.Trial(self._oracle.get_space(), trial_id="0", status=STOPPED)
            else:
                trial = self._propose(tuner_id)
            if trial.status == STOPPED:
                self.stopped_because = stop or self._oracle.why_stopped()
            if trial.status == RUNNING:
                job, values = job_of(trial.trial_id), dict(trial.hyperparameters.values)
                self._journal.add(STARTED, job=job, worker=tuner_id, values=values)
            return trial

    @property
    def is_waited_for(self) -> bool:
        """Whether trials are running, here or on other machines."""
        with self._lock:
            return bool(self._oracle.ongoing_trials)

    def end_trial(self, trial: kt.Trial) -> None:
        """Journals a trial's result, and reports it to the oracle."""
        with self._lock:
            job = job_of(trial.trial_id)
            outcome = self._outcome_of(job)
            self._journal.end(job, outcome)
            self._report(job, outcome)
            self._ended(outcome)

    def _replay(self) -> None:
        """Replays the journal; trials that have not ended are left to the next workers that ask.

        Raises `UserError` if the journal holds trials that this oracle would not propose.
        """
        outcomes = self._journal.outcomes()
        for event in self._journal.events:
            job = str(event.get("job", ""))
            if event["event"] == STARTED and job.startswith(PREFIX):
                trial = self._propose(f"{_ABANDONED}{job}")
                if trial.status != RUNNING or job_of(trial.trial_id) != job:
                    raise UserError(
                        f"The journal {self._journal.path} does not fit the search.",
                        received=f"{job}, where KerasTuner {keras_tuner.__version__} would have "
                        "no trial",
                        fix="start a new search, without --resume, or use the version of "
                        "KerasTuner that study.json names.",
                    )
                # A Gaussian process may differ in the last bits between machines.
                trial.hyperparameters.values = dict(event["values"])
            elif event["event"] == ENDED and job.startswith(PREFIX):
                self._report(job, outcomes[job])

    def _propose(self, worker: str) -> kt.Trial:
        with warnings.catch_warnings():
            # With few trials a Gaussian process cannot fit its length scale.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self._oracle.create_trial(worker)

    def _report(self, job: str, outcome: JobResult) -> None:
        trial = next(t for t in self._oracle.trials.values() if job_of(t.trial_id) == job)
        value = None if outcome.status == FAILED else outcome.value
        if value is None and self._oracle.promotes:
            # Hyperband waits for all trials of a rung: a failed one is completed and ranked last.
            value = math.inf if self._oracle.objective.direction == "min" else -math.inf
        trial.status = kt.TrialStatus.FAILED
        if value is not None:
            self._oracle.update_trial(trial.trial_id, {OBJECTIVE: value})
            trial.status = kt.TrialStatus.COMPLETED
        self._oracle.end_trial(trial)
