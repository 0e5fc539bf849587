"""Process memory: keeps freed blocks, measures usage, and explains out-of-memory errors."""

from __future__ import annotations

import contextlib
import ctypes
import math
import mmap
import os
import re
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow as tf

from kerasft.errors import UserError

TRAINING_FIX = (
    "set training.gradient_accumulation_steps=4 (a batch in four parts, the same update), "
    "performance.gradient_checkpointing=true, or a smaller training.batch_size or "
    "training.sequence_length."
)
EVALUATION_FIX = "set a smaller evaluation.batch_size."
_RESERVED_BYTES = 1 << 26  # address space, untouched: room to report the error
# Matches one line of TensorFlow's message, which may follow a traceback: from an allocator, XLA, or
# oneDNN, whose status 1 is `dnnl_out_of_memory`. A full disk raises the same class of error.
_ALLOCATION = re.compile(r"^.*(?:OOM when allocating|[Oo]ut of memory|Status: 1, message).*$", re.M)
_TENSOR = re.compile(r"shape\[(?P<shape>[\d,]*)\] and type (?P<type>\w+)")
# <malloc.h>: the parameters of mallopt.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST = 2**31 - 1
# Memory limit of a container: cgroups version 2 and 1.
_CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory; returns whether glibc accepted.

    A step frees and allocates the same tensors again and again. glibc returns large blocks at once,
    and the system clears every page anew: up to a third of a step's time on two CPU cores.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library, such as musl
        return False
    return all(
        mallopt(parameter, _LARGEST) == 1 for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD)
    )


def resident_bytes() -> int:
    """Returns the memory in use by the process; outside Linux, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return pages * resource.getpagesize()


def available_bytes() -> int:
    """Returns the memory that the process may use: the machine's, or a lower limit."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    limits += [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    for path in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no limit, or "max"
            limits.append(int(path.read_text("ascii")))
    return min(limit for limit in limits if limit > 0)  # RLIM_INFINITY is -1


class OutOfMemoryError(UserError):
    """Memory ran out in a step or an evaluation."""

    def __init__(self, asked: str, where: str, fix: str, *, in_evaluation: bool = False):
        super().__init__(
            f"Memory ran out in {where}.",
            received=asked,
            expected=f"what fits into {_size(available_bytes())}, of which this process holds "
            f"{_size(resident_bytes())} now",
            fix=fix,
        )
        self.asked = asked
        self.where = where
        self.in_evaluation = in_evaluation

    def with_fix(self, fix: str) -> OutOfMemoryError:
        """Returns the same error with another fix."""
        return OutOfMemoryError(self.asked, self.where, fix, in_evaluation=self.in_evaluation)


@contextlib.contextmanager
def naming_memory(where: Callable[[], str], *, in_evaluation: bool = False) -> Iterator[None]:
    """Turns out-of-memory errors of TensorFlow and Python into an `OutOfMemoryError`."""
    with contextlib.ExitStack() as reserve:
        with contextlib.suppress(OSError):
            reserve.enter_context(mmap.mmap(-1, _RESERVED_BYTES))
        try:
            yield
        except (tf.errors.OpError, MemoryError) as error:
            reserve.close()
            asked = _describe(error)
            if asked is None:
                raise
            fix = EVALUATION_FIX if in_evaluation else TRAINING_FIX
            raise OutOfMemoryError(asked, where(), fix, in_evaluation=in_evaluation) from error


def _describe(error: Exception) -> str | None:
    """Returns what could not be allocated; `None` if memory is not the cause."""
    if isinstance(error, MemoryError):
        return str(error) or type(error).__name__
    line = _ALLOCATION.search(error.message)
    if line is None:
        return None
    tensor = _TENSOR.search(line[0])
    if tensor is None:
        return line[0].strip()
    dtype = tf.as_dtype(tensor["type"])
    shape = [int(size) for size in tensor["shape"].split(",") if size]
    return f"{_size(math.prod(shape) * dtype.size)} for a tensor {dtype.name}{shape}"


def _size(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB"
