"""The processes of a multi-worker run: their roles and how they agree.

TensorFlow's mechanisms: `TF_CONFIG` lists the processes, collective operations carry the agreement.
Each process runs the whole program, identically step for step; only the chief writes the run's
files.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from kerasft.errors import UserError, first_line
from kerasft.run_dir import RunDir

VARIABLE = "TF_CONFIG"
_TRAINERS = ("chief", "worker")
_ONLY_TRAINERS = 'only "chief" and "worker" train'
_ADDRESS = re.compile(r"([^\s:/,\[\]]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})")
_INDEX = re.compile(r"[0-9]{1,9}")
_READ_BY_NOBODY = shutil.ignore_patterns(".lock", "tensorboard", "adapter", ".*.new")
_MOST_SHOWN = 500  # characters of a variable
_EXAMPLE = (
    '{"cluster": {"worker": ["host-0:2222", "host-1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class WorkerLostError(UserError):
    """Another process of the run is gone; the exit code says that a retry may succeed."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Cluster(NamedTuple):
    """The processes listed in `TF_CONFIG`."""

    num_workers: int = 1  # processes that train
    index: int = 0  # 0 is the chief: a task of type `chief`, followed by the workers

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files."""
        return self.index == 0


def read_cluster() -> Cluster | None:
    """Reads `TF_CONFIG`; `None` if unset. A cluster without tasks is one process.

    Raises:
        UserError: If it does not describe processes that can train together, or omits this one.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        return _parse_cluster(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"The variable {VARIABLE} does not describe this process: {first_line(error)}.",
            received=text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}...",
            expected=_EXAMPLE,
            fix="let `kerasft launch` set it, or unset it and train in one process with "
            "training.strategy=auto.",
        ) from error


def expected_cluster(strategy: str) -> Cluster:
    """Returns the processes that will train under a recipe's `training.strategy`."""
    several = strategy in ("auto", "multi_worker")
    return (read_cluster() if several else None) or Cluster()


@contextlib.contextmanager
def hidden_variable() -> Iterator[None]:
    """Hides `TF_CONFIG` from TensorFlow, which fails on it where one process trains."""
    text = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        if text is not None:
            os.environ[VARIABLE] = text


def find_address_fault(addresses: Sequence[object]) -> str | None:
    """Returns why addresses are invalid, as a clause; `None` if they are valid."""
    seen = set()
    for address in addresses:
        match = _ADDRESS.fullmatch(address) if isinstance(address, str) else None
        if match is None or not 1 <= int(match["port"]) <= 65535:
            return f"{json.dumps(address)} is no host:port"
        if address.lower() in seen:
            return f'"{address}" is the address of two processes'
        seen.add(address.lower())
    return None


def _parse_cluster(text: str) -> Cluster:
    """Parses `TF_CONFIG`; raises a `ValueError` with the reason if it is invalid."""
    try:
        config = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is no JSON ({first_line(error)})") from error
    _require(isinstance(config, dict), "it is no JSON object")
    jobs, task = config.get("cluster", {}), config.get("task", {})
    _require(isinstance(jobs, dict), 'its "cluster" is no object')
    _require(isinstance(task, dict), 'its "task" is no object')
    for kind, addresses in jobs.items():
        _require(kind in _TRAINERS, f'its cluster has the task type "{kind}"; {_ONLY_TRAINERS}')
        _require(isinstance(addresses, list), f'its "{kind}" is no list of addresses')
    chiefs, workers = (jobs.get(kind, []) for kind in _TRAINERS)
    fault = find_address_fault([*chiefs, *workers])
    _require(fault is None, str(fault))
    _require(len(chiefs) <= 1, f"it has {len(chiefs)} chiefs, and one is the most")
    if not task and not chiefs and not workers:
        return Cluster()
    _require(bool(task), 'its cluster has processes, and "task" does not say which one this is')
    kind, index = task.get("type"), str(task.get("index"))
    _require(kind in _TRAINERS, f"the type of its task is {json.dumps(kind)}; {_ONLY_TRAINERS}")
    is_whole = not isinstance(task.get("index"), bool) and _INDEX.fullmatch(index)
    _require(
        is_whole, f"the index of its task is {json.dumps(task.get('index'))}, no number from 0"
    )
    if not chiefs and not workers:
        _require(int(index) == 0, f"the index of its task is {index}, and there is no cluster")
        return Cluster()
    count = len(jobs.get(kind, []))
    _require(int(index) < count, f'its cluster has {count} of the type "{kind}", no index {index}')
    return Cluster(len(chiefs) + len(workers), int(index) + (kind == "worker") * len(chiefs))


def _require(is_so: object, fault: str) -> None:
    if not is_so:
        raise ValueError(fault)


class Workers:
    """The processes that train under a strategy, seen from one of them.

    Any strategy but MultiWorkerMirroredStrategy has one process.
    """

    def __init__(self, strategy, cluster: Cluster):
        self.count, self.index = cluster
        self.is_chief = cluster.is_chief
        self._strategy = strategy

    def any(self, flag: bool) -> bool:
        """Returns whether the flag is set in any process; all processes must call this."""
        return flag if self.count == 1 else self._sum(float(flag)) > 0

    def barrier(self) -> None:
        """Waits for all processes."""
        if self.count > 1:
            self._sum(1.0)

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """Runs the block in the chief first, then in the others."""
        if not self.is_chief:
            self.barrier()
        yield
        if self.is_chief:
            self.barrier()

    def _sum(self, value: float) -> float:
        import tensorflow as tf

        return float(self._build_sum(tf.constant(value)))

    @functools.cached_property
    def _build_sum(self):
        import tensorflow as tf

        strategy = self._strategy

        @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
        def add_up(value):
            of_replicas = strategy.run(tf.identity, args=(value,))
            return strategy.reduce(tf.distribute.ReduceOp.SUM, of_replicas, axis=None)

        return add_up


@contextlib.contextmanager
def working_folder(
    workers: Workers, resumed: RunDir | None, prepare: Callable[[], RunDir]
) -> Iterator[RunDir]:
    """Yields the folder that this process writes to: the run's for the chief, else a temporary one.

    Each process keeps its own checkpoints, best weights and history, so that all take the same
    decisions. All processes must call this.

    Args:
        workers: The processes.
        resumed: The run directory to resume; `None` for a new run.
        prepare: Creates the run directory or prepares the resumed one; called by the chief.
    """
    workers.barrier()  # all have read the resumed run before it changes
    if workers.is_chief:
        run_dir = prepare()
        workers.barrier()  # the run directory is ready
        workers.barrier()  # the others have read it
        yield run_dir
        return
    with tempfile.TemporaryDirectory(prefix="kerasft-worker-") as folder:
        workers.barrier()
        if resumed is not None:
            shutil.copytree(resumed.path, folder, dirs_exist_ok=True, ignore=_READ_BY_NOBODY)
        workers.barrier()
        yield RunDir(Path(folder))
