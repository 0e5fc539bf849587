"""All uses of KerasTuner's private names.

`tests/unit/studies/tuning/test_private.py` checks what each part expects, so that a new version
with other names fails there, with a clear message.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.distribute.oracle_client import OracleClient as OracleClient

from kerasft.errors import UserError

_GRACE_SECONDS = 1.0


class InMemory:
    """Mixin for an oracle that writes no files: it would write by `save` and `_save_trial`."""

    def save(self):
        """Writes nothing."""

    def _save_trial(self, trial):
        pass


@contextlib.contextmanager
def offered(oracle: Any, address: str) -> Iterator[None]:
    """Serves an oracle's methods at `host:port` by gRPC, as KerasTuner's chief does.

    Raises `UserError` if it cannot listen there.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    protos.get_service_grpc().add_OracleServicer_to_server(OracleServicer(oracle), server)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise UserError(
            "The chief cannot listen there.",
            received=address,
            fix="KERASTUNER_ORACLE_IP and _PORT name an address of this machine that is free.",
        ) from error
    server.start()
    try:
        yield
    finally:
        server.stop(_GRACE_SECONDS).wait()
