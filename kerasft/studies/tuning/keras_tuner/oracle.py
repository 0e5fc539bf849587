"""KerasTuner's oracles: built for a space, adapted to propose new points only."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras_tuner
from keras_tuner.engine import trial as kt

from kerasft.metric import lower_is_better
from kerasft.recipe import Dimension
from kerasft.recipe.space import LOG
from kerasft.studies.tuning.ending import BRACKETS, EXHAUSTED, NO_PROPOSAL
from kerasft.studies.tuning.keras_tuner.private import InMemory, set_most_draws
from kerasft.studies.tuning.space import count_points

RUNNING, IDLE, STOPPED = kt.TrialStatus.RUNNING, kt.TrialStatus.IDLE, kt.TrialStatus.STOPPED
PREFIX = "trial-"  # of trials' job names in the journal
_HYPERBAND = "tuner/"  # prefix of the values that Hyperband adds
_HYPERBAND_FACTOR = 3
OBJECTIVE = "objective"
_NO_LIMIT = 10**9
_MAX_DRAWS = 10_000  # for a new point; KerasTuner's 20 miss points. Takes 0.5 s


class Proposal(NamedTuple):
    """A trial that an oracle proposes.

    Attributes:
        job: Its name, `trial-003`.
        values: The settings to try.
        epochs: Of Hyperband: how long to train. Else `None`.
        continues: Of Hyperband: the job whose run it resumes. `None`: a new run.
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
    metric: str,
    max_epochs: int | None = None,
    endless: bool = False,
) -> keras_tuner.Oracle:
    """Builds the oracle of a method.

    Args:
        method: `random`, `bayesian`, `hyperband` or `grid`.
        space: What is searched.
        seed: Seed of its draws.
        metric: Such as `validation/accuracy`.
        max_epochs: Of Hyperband: epochs of the longest trials.
        endless: Of Hyperband: start over when all brackets are done.
    """
    settings = {
        "objective": keras_tuner.Objective(OBJECTIVE, "min" if lower_is_better(metric) else "max"),
        "hyperparameters": build_hyperparameters(space),
        "seed": seed + 1,  # 0 means a random seed
        "tune_new_entries": False,
        "allow_new_entries": False,
        # kerasft itself ends a search after failures in a row, with a message.
        "max_consecutive_failed_trials": _NO_LIMIT,
    }
    if method == "hyperband":
        iterations = 0 if endless else 1  # 0: endless
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
        # KerasTuner draws 3 per dimension at random, which may be all of a small search.
        settings["num_initial_points"] = max(3, len(space) + 1)
    oracle = _adapted(kind, count_points(space))(**settings)
    oracle.verbose = 0
    set_most_draws(oracle, _MAX_DRAWS)
    return oracle


def _adapted(kind: type[keras_tuner.Oracle], num_points: int | None) -> type[keras_tuner.Oracle]:
    """Returns an oracle class that writes no files and knows when a space is exhausted.

    `num_points` is the size of the space; `None`: not countable.
    """
    models = kind is keras_tuner.oracles.BayesianOptimizationOracle

    class Adapted(InMemory, kind):
        promotes = kind is keras_tuner.oracles.HyperbandOracle
        found_nothing = False

        def is_exhausted(self) -> bool:
            tried = {_point(trial.hyperparameters.values) for trial in self.trials.values()}
            return num_points is not None and len(tried) >= num_points

        def why_nothing_new(self) -> str:
            """Returns why there can be no proposal; empty: there may be (Hyperband may promote)."""
            return EXHAUSTED if self.is_exhausted() and not self.promotes else ""

        def why_stopped(self) -> str:
            """Returns why the latest status was `STOPPED`."""
            if self.is_exhausted():
                return EXHAUSTED
            return BRACKETS if self.promotes and not self.found_nothing else NO_PROPOSAL

        def draw_values(self):
            values = None if self.is_exhausted() else super().draw_values()
            self.found_nothing = values is None
            return values

        def populate_space(self, trial_id):
            response = super().populate_space(trial_id)
            values = response.get("values")
            # A Gaussian process may propose a tried point again and again.
            if models and values is not None and self.was_tried(values):
                response["values"] = self.draw_values() or values
            return response

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


def read_proposal(job: str, values: Mapping[str, Any], space: Sequence[Dimension]) -> Proposal:
    """Returns the proposal of a job, from the `values` of an oracle's trial or of the journal."""
    before = values.get(f"{_HYPERBAND}trial_id")
    return Proposal(
        job,
        {d.name: _decode(d, values[d.name]) for d in space if d.name in values},
        epochs=values.get(f"{_HYPERBAND}epochs"),
        continues=None if before is None else job_of(before),
    )
