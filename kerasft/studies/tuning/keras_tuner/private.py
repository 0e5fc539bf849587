"""All that a search uses of KerasTuner and that has no public name there.

Each part says what it expects. `tests/unit/studies/tuning/test_private.py` checks it, so that a new
version which names a part otherwise fails there, in words.
"""

from __future__ import annotations

from typing import Any

import grpc
import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient


class InMemory:
    """Mixed into an oracle: it writes no files, and its draws can be watched.

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
        """Draws a point that was not tried; `None`: there was none among the draws."""
        return super()._random_values()

    def was_tried(self, values: dict[str, Any]) -> bool:
        """Tells whether a trial has these values."""
        return self._duplicate(values)


def set_most_draws(oracle: keras_tuner.Oracle, count: int) -> None:
    """Expects that an oracle keeps how often it draws for a new point before it gives up."""
    oracle._max_collisions = count


def add_service(oracle: Any, server: grpc.Server) -> None:
    """Expects KerasTuner's gRPC service, which calls the methods of an oracle.

    Args:
        oracle: What has these methods.
        server: That answers with them.
    """
    protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(oracle), server)


def connect_oracle() -> OracleClient:
    """Expects a client with an oracle's methods, for the chief that KerasTuner's variables name."""
    return OracleClient(None)
