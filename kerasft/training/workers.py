"""The processes of a run on several machines: who is the chief, and how they agree.

TensorFlow's own: `TF_CONFIG` names the processes, collective operations carry what they agree on.
Each runs the whole program, step for step the same; the chief alone writes a run's files.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from typing import NamedTuple

from kerasft.errors import UserError

VARIABLE = "TF_CONFIG"
_EXAMPLE = (
    '{"cluster": {"worker": ["host-0:2222", "host-1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)


class WorkerLostError(UserError):
    """Another process of the run is gone; the code says that the run may be started again."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h


class Cluster(NamedTuple):
    """What `TF_CONFIG` says.

    Attributes:
        num_workers: Processes that train.
        index: Which of them this one is; 0 is the chief.
    """

    num_workers: int = 1
    index: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the run's files."""
        return self.index == 0


def read_cluster() -> Cluster | None:
    """Reads `TF_CONFIG`; `None` where it is not set.

    Raises:
        UserError: It is not what `tf.distribute` reads.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        kind, index = task["type"], int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise _no_cluster(text, f"{type(error).__name__}: {error}") from error
    if kind != "worker" or set(config["cluster"]) != {"worker"}:
        raise _no_cluster(
            text, 'all processes are of the type "worker", and the first is the chief'
        )
    if not 0 <= index < len(workers):
        raise _no_cluster(text, f"there are {len(workers)} workers and none has the index {index}")
    return Cluster(len(workers), index)


def expected_cluster(strategy: str) -> Cluster:
    """Returns the processes that will train under a recipe's `training.strategy`.

    Raises:
        UserError: `TF_CONFIG` is damaged.
    """
    several = strategy in ("auto", "multi_worker")
    return (read_cluster() if several else None) or Cluster()


def _no_cluster(text: str, reason: str) -> UserError:
    return UserError(
        f"The variable {VARIABLE} does not describe this process: {reason}.",
        received=text,
        expected=_EXAMPLE,
        fix="let `kerasft launch` set it, or unset it to train in one process.",
    )


class Workers:
    """The processes that train under a strategy, as one of them sees them.

    Args:
        strategy: The strategy; under any but MultiWorkerMirroredStrategy there is one process.
        cluster: The processes.
    """

    def __init__(self, strategy, cluster: Cluster):
        self.count, self.index = cluster
        self.is_chief = cluster.is_chief
        self._strategy = strategy

    def any(self, flag: bool) -> bool:
        """Tells whether a flag is up in any of the processes, all of which must ask."""
        return flag if self.count == 1 else self._sum(float(flag)) > 0

    def barrier(self) -> None:
        """Waits until all processes are here."""
        if self.count > 1:
            self._sum(1.0)

    @contextlib.contextmanager
    def chief_first(self) -> Iterator[None]:
        """Lets the chief do something first, and the others when it is done."""
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
