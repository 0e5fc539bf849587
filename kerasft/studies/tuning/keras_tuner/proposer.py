"""An oracle behind the journal of a study: each proposal and result is on the disk first.

Its state is never saved: what was begun and how it ended stands in the journal, and is told to a
new oracle in the same order when a study is resumed. Random draws, brackets and grid positions are
then where they were.
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

_ABANDONED = "abandoned-"  # stands for the worker of a trial that has none


class Proposer:
    """An oracle that writes down what it proposes and what it is told, before it is acted upon.

    It has the methods that KerasTuner's service calls, and may be called by several threads.

    Args:
        oracle: From `build_oracle`, new: what stands in the journal is told to it.
        journal: Of the study.
        why_stop: Asked before each new trial for a reason to end the search; empty: there is none.
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
        """Notes how a trial ended, and tells the oracle."""
        with self._lock:
            job = job_of(trial.trial_id)
            outcome = self._outcome_of(job)
            self._journal.end(job, outcome)
            self._log(trial.trial_id, outcome)
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
            if event["event"] == STARTED and job.startswith(PREFIX):
                self._begin_again(job, event["worker"], event["values"])
            elif event["event"] == ENDED and job.startswith(PREFIX):
                trial_id = next(i for i in self._oracle.trials if job_of(i) == job)
                self._log(trial_id, self._journal.outcome(job))
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

    def _log(self, trial_id: str, outcome: JobResult) -> None:
        trial = self._oracle.get_trial(trial_id)
        value = outcome.value
        if outcome.status == FAILED or value is None:
            if not self._oracle.promotes:
                trial.status = kt.TrialStatus.FAILED
                self._oracle.end_trial(trial)
                return
            # Hyperband waits for all trials of a rung to be completed: one that failed is the last.
            value = math.inf if self._oracle.objective.direction == "min" else -math.inf
        self._oracle.update_trial(trial_id, {OBJECTIVE: value})
        trial.status = kt.TrialStatus.COMPLETED
        self._oracle.end_trial(trial)
