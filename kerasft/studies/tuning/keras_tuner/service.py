"""A search over several machines, by KerasTuner's chief/worker service.

The chief has the oracle and the journal; workers ask it for trials over gRPC. KerasTuner's own
variables name the chief. All machines share the folder of the study, from which a trial's results
are read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc

from kerasft.errors import UserError
from kerasft.studies.tuning.finals import BASELINE
from kerasft.studies.tuning.keras_tuner.private import add_service, connect_oracle
from kerasft.studies.tuning.keras_tuner.proposer import Proposer
from kerasft.studies.tuning.plan import Plan
from kerasft.studies.tuning.searching import Runner, Search, Settled, settle
from kerasft.training.loop.interrupt import InterruptWatch

_POLL_SECONDS = 1.0


@contextlib.contextmanager
def offered(proposer: Proposer, address: str) -> Iterator[None]:
    """Serves an oracle to other machines at `host:port`; `UserError` if that cannot be bound."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1))
    add_service(proposer, server)
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
        server.stop(_POLL_SECONDS).wait()


def join_study(plan: Plan, runner: Runner, tuner_id: str, *, log: Callable[[str], object]) -> None:
    """Runs trials of a study led by another machine, until there are no more.

    `tuner_id` is this worker's name. Raises `InterruptRequested` after Ctrl-C or SIGTERM.
    """
    with InterruptWatch(lambda: log("Stopping: the trial saves a checkpoint.")) as watch:
        search = Search(plan.folder, plan, Settled(""), runner, log, watch.check)
        while (baseline := search.outcome_of(BASELINE)) is None:
            watch.check()
            time.sleep(_POLL_SECONDS)
        settled = settle(plan.recipe, baseline)
        search = Search(plan.folder, plan, settled, runner, log, watch.check)
        search.work(connect_oracle(), tuner_id, 0)
