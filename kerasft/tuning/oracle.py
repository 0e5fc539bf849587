"""KerasTuner's oracles, driven by the journal of a study.

The oracle proposes, and its state is never saved: what was begun and how it ended stands in the
journal, and is told to a new oracle in the same order when a study is gone on with. Random draws,
brackets and grid positions are then where they were.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras_tuner
from keras_tuner.engine import trial as kt
from sklearn.exceptions import ConvergenceWarning

from kerasft.errors import UserError
from kerasft.recipe import Dimension
from kerasft.recipe.space import LOG
from kerasft.tuning.journal import ENDED, FAILED, STARTED, Journal, Outcome

RUNNING, IDLE, STOPPED = kt.TrialStatus.RUNNING, kt.TrialStatus.IDLE, kt.TrialStatus.STOPPED
_PREFIX = "trial-"  # of a trial's job in the journal
_HYPERBAND = "tuner/"  # what Hyperband adds to the values
_HYPERBAND_FACTOR = 3
_ABANDONED = "abandoned-"  # stands for the worker of a trial that has none
_OBJECTIVE = "objective"
_NO_LIMIT = 10**9


class Proposal(NamedTuple):
    """A trial that an oracle proposes.

    Attributes:
        job: Its name, `trial-003`.
        values: The settings to try.
        epochs: Of Hyperband: train for so long. Else `None`.
        continues: Of Hyperband: the job whose run it goes on with. `None`: a new run.
    """

    job: str
    values: dict[str, Any]
    epochs: int | None = None
    continues: str | None = None


def build_oracle(
    method: str,
    space: Sequence[Dimension],
    *,
    seed: int,
    lower_is_better: bool,
    max_epochs: int | None = None,
    endless: bool = False,
) -> keras_tuner.Oracle:
    """Builds the oracle of a method.

    Args:
        method: `random`, `bayesian`, `hyperband` or `grid`.
        space: What is searched.
        seed: Of its draws.
        lower_is_better: Whether less of the metric is better.
        max_epochs: Of Hyperband: epochs of the longest trials.
        endless: Of Hyperband: begin anew when all brackets are done.
    """
    settings = {
        "objective": keras_tuner.Objective(_OBJECTIVE, "min" if lower_is_better else "max"),
        "hyperparameters": build_hyperparameters(space),
        "seed": seed + 1,  # 0 would mean a random one
        "tune_new_entries": False,
        "allow_new_entries": False,
        # Ours ends a search where one trial after the other fails, with a message.
        "max_consecutive_failed_trials": _NO_LIMIT,
    }
    if method == "hyperband":
        iterations = 0 if endless else 1  # 0 is no end
        settings |= {"max_epochs": max_epochs, "hyperband_iterations": iterations}
        settings |= {"factor": _HYPERBAND_FACTOR}
        kind = keras_tuner.oracles.HyperbandOracle
    else:
        settings["max_trials"] = None  # the study counts
        kind = {
            "random": keras_tuner.oracles.RandomSearchOracle,
            "bayesian": keras_tuner.oracles.BayesianOptimizationOracle,
            "grid": keras_tuner.oracles.GridSearchOracle,
        }[method]
    if method == "bayesian":
        # KerasTuner would draw 3 for each dimension at random, which is all of a small search.
        settings["num_initial_points"] = max(3, len(space) + 1)
    oracle = _without_files(kind)(**settings)
    oracle.verbose = 0
    return oracle


def _without_files(kind: type[keras_tuner.Oracle]) -> type[keras_tuner.Oracle]:
    """Returns the class of oracles that keep their state to themselves."""
    nothing = {"save": lambda self: None, "_save_trial": lambda self, trial: None}
    return type(kind.__name__, (kind,), nothing)


def build_hyperparameters(space: Sequence[Dimension]) -> keras_tuner.HyperParameters:
    """Builds KerasTuner's form of a space."""
    parameters = keras_tuner.HyperParameters()
    for dimension in space:
        with contextlib.ExitStack() as stack:
            for parent, values in dimension.when:
                scope = parameters.conditional_scope(parent, [_encode(v) for v in values])
                stack.enter_context(scope)
            _add(parameters, dimension)
    return parameters


def _add(parameters: keras_tuner.HyperParameters, dimension: Dimension) -> None:
    if dimension.choices is not None:
        parameters.Choice(dimension.name, [_encode(value) for value in dimension.choices])
        return
    low, high = dimension.values
    sampling = "log" if dimension.kind == LOG else "linear"
    add = parameters.Int if dimension.setting.type is int else parameters.Float
    add(dimension.name, low, high, sampling=sampling)


def _encode(value: Any) -> Any:
    """A list of texts is no value of KerasTuner's; as text it is."""
    return json.dumps(value) if isinstance(value, tuple) else value


def _decode(dimension: Dimension, value: Any) -> Any:
    """Undoes `_encode`, and gives back the booleans that KerasTuner made 0 and 1."""
    kind = dimension.setting.type
    return tuple(json.loads(value)) if kind is tuple else kind(value)


def job_of(trial_id: str) -> str:
    """Names a trial's job: KerasTuner counts from 0, and trial 0 is the recipe as it is."""
    return f"{_PREFIX}{int(trial_id) + 1:03d}"


class Proposer:
    """An oracle that writes down what it proposes and what it is told, before it is acted upon.

    It has the methods that KerasTuner's service calls, and may be called by several threads.

    Args:
        oracle: From `build_oracle`, new: what stands in the journal is told to it.
        journal: Of the study.
        may_start: Asked before each new trial; no is the end of the search.
        outcome_of: Returns what came of a job that has ended.
        ended: Told what came of each trial, when it is noted.

    Raises:
        UserError: The journal holds trials that this oracle would not propose.
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        journal: Journal,
        *,
        may_start: Callable[[], bool] = lambda: True,
        outcome_of: Callable[[str], Outcome],
        ended: Callable[[Outcome], object] = lambda outcome: None,
    ):
        self._oracle = oracle
        self._journal = journal
        self._may_start = may_start
        self._outcome_of = outcome_of
        self._ended = ended
        self._lock = threading.RLock()
        self._replay()

    def create_trial(self, tuner_id: str) -> kt.Trial:
        """Returns the trial that a worker is to run: its own or an abandoned one, or a new one.

        Args:
            tuner_id: The worker's name.

        Returns:
            A trial to run if its status is `RUNNING`; `IDLE`: ask again later; `STOPPED`: the
            search is over.
        """
        with self._lock:
            ongoing = self._oracle.ongoing_trials
            if tuner_id in ongoing:
                return ongoing[tuner_id]
            abandoned = [name for name in ongoing if name.startswith(_ABANDONED)]
            if abandoned:
                ongoing[tuner_id] = ongoing.pop(min(abandoned))
                return ongoing[tuner_id]
            if not self._may_start():
                return kt.Trial(self._oracle.get_space(), trial_id="0", status=STOPPED)
            trial = self._propose(tuner_id)
            if trial.status == RUNNING:
                values = dict(trial.hyperparameters.values)
                job = job_of(trial.trial_id)
                self._journal.add(STARTED, job=job, worker=tuner_id, values=values)
            return trial

    @property
    def is_waited_for(self) -> bool:
        """Whether trials are running, here or on other machines."""
        with self._lock:
            return bool(self._oracle.ongoing_trials)

    def end_trial(self, trial: kt.Trial) -> None:
        """Notes how a trial ended, and tells the oracle."""
        with self._lock:
            job = job_of(trial.trial_id)
            outcome = self._outcome_of(job)
            self._journal.end(job, outcome)
            self._tell(trial.trial_id, outcome)
            self._ended(outcome)

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> kt.Trial:
        """Returns the trial: what a worker has found on the way is read from the trial's folder."""
        return self._oracle.get_trial(trial_id)

    def get_space(self) -> keras_tuner.HyperParameters:
        """Returns KerasTuner's form of the space."""
        return self._oracle.get_space()

    def get_trial(self, trial_id: str) -> kt.Trial:
        """Returns a trial."""
        return self._oracle.get_trial(trial_id)

    def _replay(self) -> None:
        """Tells the oracle what stands in the journal, in the order in which it happened."""
        for event in list(self._journal.events):
            job = str(event.get("job", ""))
            if event["event"] == STARTED and job.startswith(_PREFIX):
                self._begin_again(job, event["worker"], event["values"])
            elif event["event"] == ENDED and job.startswith(_PREFIX):
                trial_id = next(i for i in self._oracle.trials if job_of(i) == job)
                self._tell(trial_id, self._journal.outcome(job))
        for worker in list(self._oracle.ongoing_trials):
            self._abandon(worker)

    def _begin_again(self, job: str, worker: str, values: dict[str, Any]) -> None:
        self._abandon(worker)  # it would not begin another one, had it not left its own
        trial = self._propose(worker)
        if trial.status != RUNNING or job_of(trial.trial_id) != job:
            raise UserError(
                f"The journal {self._journal.path} does not fit the search.",
                received=f"{job}, where KerasTuner {keras_tuner.__version__} would have no trial",
                fix="go on with the version of KerasTuner that it was begun with: see study.json.",
            )
        # The last bits of a Gaussian process may differ between two machines.
        trial.hyperparameters.values = dict(values)

    def _propose(self, worker: str) -> kt.Trial:
        with warnings.catch_warnings():
            # A Gaussian process of a few trials is never sure of its length scale.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self._oracle.create_trial(worker)

    def _abandon(self, worker: str) -> None:
        """Leaves a worker's trial, if it has one, to whoever asks next."""
        trial = self._oracle.ongoing_trials.pop(worker, None)
        if trial is not None:
            self._oracle.ongoing_trials[f"{_ABANDONED}{trial.trial_id}"] = trial

    def _tell(self, trial_id: str, outcome: Outcome) -> None:
        trial = self._oracle.get_trial(trial_id)
        value = outcome.value
        if outcome.status == FAILED or value is None:
            if not isinstance(self._oracle, keras_tuner.oracles.HyperbandOracle):
                trial.status = kt.TrialStatus.FAILED
                self._oracle.end_trial(trial)
                return
            # Hyperband waits for all trials of a rung to be completed: one that failed is the last.
            value = math.inf if self._oracle.objective.direction == "min" else -math.inf
        self._oracle.update_trial(trial_id, {_OBJECTIVE: value})
        trial.status = kt.TrialStatus.COMPLETED
        self._oracle.end_trial(trial)


def read_proposal(job: str, values: Mapping[str, Any], space: Sequence[Dimension]) -> Proposal:
    """Reads what a trial is to run.

    Args:
        job: Its name.
        values: KerasTuner's, of an oracle's trial or from the journal.
        space: What is searched.
    """
    before = values.get(f"{_HYPERBAND}trial_id")
    return Proposal(
        job,
        {d.name: _decode(d, values[d.name]) for d in space if d.name in values},
        epochs=values.get(f"{_HYPERBAND}epochs"),
        continues=None if before is None else job_of(before),
    )
