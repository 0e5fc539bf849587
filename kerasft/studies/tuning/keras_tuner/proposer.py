"""An oracle behind the journal of a study: proposals and results are written to the disk first.

The oracle's state is never saved. When a study is resumed, the journal is replayed to a new oracle
in the same order, which restores random draws, brackets and grid positions.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner
from keras_tuner.engine import trial as kt
from sklearn.exceptions import ConvergenceWarning

from kerasft.errors import UserError
from kerasft.studies.tuning.keras_tuner.journal import ENDED, FAILED, STARTED, JobResult, Journal
from kerasft.studies.tuning.keras_tuner.oracle import OBJECTIVE, PREFIX, RUNNING, STOPPED, job_of

_ABANDONED = "abandoned-"  # placeholder worker of a trial without one


class Proposer:
    """An oracle that journals its proposals and results before they are acted upon.

    It has the methods that KerasTuner's service calls, and is thread-safe.

    Args:
        oracle: From `build_oracle`, new; the journal is replayed to it.
        journal: The study's journal.
        why_stop: Called before each new trial; a non-empty reason ends the search.
        outcome_of: Returns the result of a job that has ended.
        ended: Called with the result of each trial, once it is journaled.

    Raises:
        UserError: The journal holds trials that this oracle would not propose.
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
            self.stopped_because = self._why_stop() or self._oracle.why_nothing_new()
            if self.stopped_because:
                return kt.Trial(self._oracle.get_space(), trial_id="0", status=STOPPED)
            trial = self._propose(tuner_id)
            if trial.status == STOPPED:
                self.stopped_because = self._oracle.why_stopped()
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
        """Journals a trial's result, and reports it to the oracle."""
        with self._lock:
            job = job_of(trial.trial_id)
            outcome = self._outcome_of(job)
            self._journal.end(job, outcome)
            self._log(trial.trial_id, outcome)
            self._ended(outcome)

    def update_trial(self, trial_id: str, metrics: Mapping[str, float], step: int = 0) -> kt.Trial:
        """Returns the trial unchanged: intermediate results are read from the trial's folder."""
        return self._oracle.get_trial(trial_id)

    def get_space(self) -> keras_tuner.HyperParameters:
        """Returns KerasTuner's form of the space."""
        return self._oracle.get_space()

    def get_trial(self, trial_id: str) -> kt.Trial:
        """Returns a trial."""
        return self._oracle.get_trial(trial_id)

    def _replay(self) -> None:
        """Replays the journal to the oracle, in the order of events."""
        for event in list(self._journal.events):
            job = str(event.get("job", ""))
            if event["event"] == STARTED and job.startswith(PREFIX):
                self._begin_again(job, event["worker"], event["values"])
            elif event["event"] == ENDED and job.startswith(PREFIX):
                trial_id = next(i for i in self._oracle.trials if job_of(i) == job)
                self._log(trial_id, self._journal.outcome(job))
        for worker in list(self._oracle.ongoing_trials):
            self._abandon(worker)

    def _begin_again(self, job: str, worker: str, values: dict[str, Any]) -> None:
        self._abandon(worker)  # it began another one, so it had left its own
        trial = self._propose(worker)
        if trial.status != RUNNING or job_of(trial.trial_id) != job:
            raise UserError(
                f"The journal {self._journal.path} does not fit the search.",
                received=f"{job}, where KerasTuner {keras_tuner.__version__} would have no trial",
                fix="go on with the version of KerasTuner that it was begun with: see study.json.",
            )
        # A Gaussian process may differ in the last bits between machines.
        trial.hyperparameters.values = dict(values)

    def _propose(self, worker: str) -> kt.Trial:
        with warnings.catch_warnings():
            # With few trials a Gaussian process cannot fit its length scale.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self._oracle.create_trial(worker)

    def _abandon(self, worker: str) -> None:
        """Leaves a worker's trial, if it has one, to the next worker that asks."""
        trial = self._oracle.ongoing_trials.pop(worker, None)
        if trial is not None:
            self._oracle.ongoing_trials[f"{_ABANDONED}{trial.trial_id}"] = trial

    def _log(self, trial_id: str, outcome: JobResult) -> None:
        trial = self._oracle.get_trial(trial_id)
        value = outcome.value
        if outcome.status == FAILED or value is None:
            if not self._oracle.promotes:
                trial.status = kt.TrialStatus.FAILED
                self._oracle.end_trial(trial)
                return
            # Hyperband waits for all trials of a rung: a failed one is completed and ranked last.
            value = math.inf if self._oracle.objective.direction == "min" else -math.inf
        self._oracle.update_trial(trial_id, {OBJECTIVE: value})
        trial.status = kt.TrialStatus.COMPLETED
        self._oracle.end_trial(trial)
