"""All uses of KerasTuner's private names.

Each part states what it expects. `tests/unit/studies/tuning/test_private.py` checks it, so that a
new version with other names fails there, with a clear message.
"""

from __future__ import annotations

from typing import Any

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient


class InMemory:
    """Mixin for an oracle: writes no files, and lets its draws be overridden.

    Expects that an oracle writes files by `save` and `_save_trial`, draws a point that is new by
    `_random_values` (`None`: it found none) and asks `_duplicate` whether a point was tried.
    """

    def save(self):
        """Writes nothing."""

    def _save_trial(self, trial):
        pass

    def _random_values(self):
        return self.draw_values()

    def draw_values(self) -> dict[str, Any] | None:
        """Draws a point that was not tried; `None`: all draws were tried before."""
        return super()._random_values()

    def was_tried(self, values: dict[str, Any]) -> bool:
        """Returns whether a trial has these values."""
        return self._duplicate(values)


def set_most_draws(oracle: keras_tuner.Oracle, count: int) -> None:
    """Sets an oracle's number of draws for a new point; expects that it has this attribute."""
    oracle._max_collisions = count


def add_service(oracle: Any, server: grpc.Server) -> None:
    """Adds an oracle's methods to a gRPC server; expects KerasTuner's gRPC service."""
    protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(oracle), server)


def connect_oracle() -> OracleClient:
    """Returns the client for the chief that KerasTuner's variables name; expects oracle methods."""
    return OracleClient(None)
