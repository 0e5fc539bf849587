"""Kernels of our own for a training step on CPUs, compiled on the machine that runs them.

TensorFlow's operations pass over memory one after the other, and are compiled for processors of
2011. These do in one pass what takes several, with the instructions that this processor has:
`loops.h` is the arithmetic, `kernels.cc` makes TensorFlow operations of it, `building.py` compiles
them once for a machine. Where that cannot be done, everything is computed by TensorFlow's own
operations, to the same numbers up to rounding.

They are in the training step alone: what is evaluated, exported and served knows none of them.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from types import ModuleType

_in_use: contextvars.ContextVar[ModuleType | None] = contextvars.ContextVar("kernels", default=None)


@contextlib.contextmanager
def computing_with(kernels: ModuleType | None) -> Iterator[None]:
    """What is traced in here computes with these kernels, gradients included.

    Args:
        kernels: From `building.load_kernels`; `None`: with TensorFlow's operations.
    """
    token = _in_use.set(kernels)
    try:
        yield
    finally:
        _in_use.reset(token)


def kernels_in_use() -> ModuleType | None:
    """Returns the kernels that what is traced now computes with."""
    return _in_use.get()
