"""How fast many devices train, and how often to save: the arithmetic of docs/scaling.md."""

from __future__ import annotations

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Link:
    """What carries gradients from one process to the next in the ring.

    Args:
        bytes_per_second: Bandwidth, each way.
        seconds: Latency of a message.
    """

    bytes_per_second: float
    seconds: float = 0.0


def all_reduce_seconds(num_bytes: float, num_processes: int, link: Link) -> float:
    """Returns how long a ring sums so many bytes over all processes.

    Each process sends 2 (n - 1) messages of a share 1 / n (Patarasuk & Yuan 2009, "Bandwidth
    optimal all-reduce algorithms for clusters of workstations").
    """
    messages = 2 * (num_processes - 1)
    return messages * (link.seconds + num_bytes / num_processes / link.bytes_per_second)


def step_seconds(
    compute_seconds: float, gradient_bytes: float, num_processes: int, link: Link
) -> float:
    """Returns the time of a step whose gradients are summed when all of them are there.

    Args:
        compute_seconds: Of one process, for its share of the batch.
        gradient_bytes: 4 for each trained weight in float32.
        num_processes: All of them.
        link: The slowest in the ring.
    """
    return compute_seconds + all_reduce_seconds(gradient_bytes, num_processes, link)


def efficiency(compute_seconds: float, gradient_bytes: float, num_processes: int, link: Link):
    """Returns the share of the time that is computing, where each adds a batch of its own."""
    return compute_seconds / step_seconds(compute_seconds, gradient_bytes, num_processes, link)


def seconds_between_checkpoints(save_seconds: float, failure_seconds: float) -> float:
    """Returns how often to save: Young's first-order optimum.

    Young 1974, "A first order approximation to the optimum checkpoint interval"; Daly 2006 gives
    the next order, which matters where saving takes long beside the time between failures.

    Args:
        save_seconds: How long training stands still for a checkpoint.
        failure_seconds: Mean time between failures of the job: one device's over their number.
    """
    return math.sqrt(2 * save_seconds * failure_seconds)


def lost_share(save_seconds: float, failure_seconds: float) -> float:
    """Returns the share of the time that saving and work done again take, at the optimum."""
    every = seconds_between_checkpoints(save_seconds, failure_seconds)
    return save_seconds / every + every / 2 / failure_seconds
