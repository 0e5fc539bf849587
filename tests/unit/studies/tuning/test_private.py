"""What a search expects of the private parts of KerasTuner."""

from __future__ import annotations

import inspect
from concurrent import futures

import grpc
import keras_tuner
import pytest

from kerasft.studies.tuning.keras_tuner import private
from kerasft.studies.tuning.keras_tuner.proposer import Proposer

KINDS = ["RandomSearchOracle", "BayesianOptimizationOracle", "GridSearchOracle", "HyperbandOracle"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_oracle_saves_and_draws_by_the_methods_that_are_overridden(tools, kind):
    oracle = getattr(keras_tuner.oracles, kind)
    with tools.expect_of(f"keras_tuner.oracles.{kind}", "save, _save_trial and _random_values"):
        for name in ("save", "_save_trial", "_random_values", "_duplicate"):
            assert callable(getattr(oracle, name))


def test_an_oracle_in_memory_draws_and_knows_what_was_tried(tools):
    class Oracle(private.InMemory, keras_tuner.oracles.RandomSearchOracle):
        pass

    parameters = keras_tuner.HyperParameters()
    parameters.Choice("a", [1, 2])
    objective = keras_tuner.Objective("value", "max")
    with tools.expect_of("keras_tuner.Oracle", "draws that a space of two points exhausts"):
        oracle = Oracle(objective=objective, max_trials=5, hyperparameters=parameters, seed=1)
        private.set_most_draws(oracle, 50)
        first, second = oracle.create_trial("w1"), oracle.create_trial("w2")
        tried = [trial.hyperparameters.values for trial in (first, second)]
        assert sorted(values["a"] for values in tried) == [1, 2]
        assert oracle.was_tried(tried[0])
        assert oracle.draw_values() is None


def test_the_service_calls_the_methods_of_an_oracle(tools):
    with tools.expect_of("keras_tuner", "a gRPC service of its oracles"):
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
        private.add_service(Proposer, server)
    with tools.expect_of("keras_tuner's client", "the methods of an oracle, as Proposer has them"):
        client = private.OracleClient
        assert list(inspect.signature(client.__init__).parameters) == ["self", "oracle"]
        source = inspect.getsource(client)
        for name in ("create_trial", "update_trial", "end_trial", "get_space", "get_trial"):
            assert f"def {name}(" in source
            assert callable(getattr(Proposer, name))
