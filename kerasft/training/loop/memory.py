"""Keeps freed memory in the process, where the C library would hand it back to the system.

A step frees and allocates the same tensors again and again. glibc gives large blocks back at
once, and the system clears every page anew: up to a third of a step's time on two CPU cores.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from pathlib import Path

# <malloc.h>: the parameters of mallopt.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_LARGEST = 2**31 - 1
# What a container may take: control groups, version 2 and 1.
_CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def keep_freed_memory() -> bool:
    """Tells glibc not to give freed memory back; returns whether there was a glibc to tell."""
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
    """Returns how much memory the process takes now; where Linux does not tell, at its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak
    return pages * resource.getpagesize()


def available_bytes() -> int:
    """Returns how much memory the process may take: the machine's, or less by a limit of it."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    limits += [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    for path in _CONTAINER_LIMITS:
        with contextlib.suppress(OSError, ValueError):  # none, or "max"
            limits.append(int(path.read_text("ascii")))
    return min(limit for limit in limits if limit > 0)  # RLIM_INFINITY is -1
