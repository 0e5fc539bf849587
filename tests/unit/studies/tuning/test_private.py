"""What a search expects of the private parts of KerasTuner."""

from __future__ import annotations

import inspect

import keras_tuner
import pytest

from kerasft.studies.tuning import private
from kerasft.studies.tuning.oracle import Proposer

KINDS = ["RandomSearchOracle", "BayesianOptimizationOracle", "GridSearchOracle", "HyperbandOracle"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_oracle_writes_by_the_methods_that_are_overridden(tools, kind, tmp_path, monkeypatch):
    oracle_class = getattr(keras_tuner.oracles, kind)

    class Oracle(private.InMemory, oracle_class):
        pass

    monkeypatch.chdir(tmp_path)
    parameters = keras_tuner.HyperParameters()
    parameters.Choice("a", [1, 2])
    settings = {"objective": keras_tuner.Objective("value", "max"), "hyperparameters": parameters}
    with tools.expect_of(f"keras_tuner.oracles.{kind}", "save and _save_trial, and no other"):
        assert all(callable(getattr(oracle_class, name)) for name in ("save", "_save_trial"))
        oracle = Oracle(seed=1, **settings)
        trial = oracle.create_trial("w")
        oracle.update_trial(trial.trial_id, {"value": 0.5})
        trial.status = "COMPLETED"
        oracle.end_trial(trial)
        assert oracle.get_best_trials()[0].score == 0.5
        assert list(tmp_path.iterdir()) == []
    control = oracle_class(seed=1, **settings)
    with pytest.raises(AttributeError, match="_directory"):  # it has no folder to write to
        control.create_trial("w")


def test_the_service_calls_the_methods_of_an_oracle(tools):
    service = tools.expect_of("keras_tuner", "a gRPC service of its oracles")
    with service, private.offered(Proposer, "127.0.0.1:0"):
        pass
    with tools.expect_of("keras_tuner's client", "the methods of an oracle, as Proposer has them"):
        client = private.OracleClient
        assert list(inspect.signature(client.__init__).parameters) == ["self", "oracle"]
        for name in ("create_trial", "end_trial"):
            theirs = inspect.signature(getattr(client, name)).parameters
            assert list(theirs) == list(inspect.signature(getattr(Proposer, name)).parameters)
