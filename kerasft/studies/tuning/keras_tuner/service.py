"""A search over several machines, by KerasTuner's service of a chief and its workers.

The chief has the oracle and the journal; a worker asks it for trials over gRPC. Both know the
chief by KerasTuner's own variables. The folder of the study lies where all machines see it: what a
trial has come to is read from there.
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
    """Offers an oracle to the workers of other machines.

    Args:
        proposer: The oracle.
        address: `host:port` to listen on.

    Raises:
        UserError: Nobody can listen there.
    """
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
    """Runs trials of a study that another machine leads, until there are no more.

    Args:
        plan: Of the study, from its folder.
        runner: Runs them, on this machine.
        tuner_id: This worker's name.
        log: Called with messages: how it gets on.

    Raises:
        InterruptRequested: After Ctrl-C or SIGTERM.
    """
    with InterruptWatch(lambda: log("Stopping: the trial saves a checkpoint.")) as watch:
        search = Search(plan.folder, plan, Settled(""), runner, log, watch.check)
        while (baseline := search.outcome_of(BASELINE)) is None:
            watch.check()
            time.sleep(_POLL_SECONDS)
        settled = settle(plan.recipe, baseline)
        search = Search(plan.folder, plan, settled, runner, log, watch.check)
        search.work(connect_oracle(), tuner_id, 0)
