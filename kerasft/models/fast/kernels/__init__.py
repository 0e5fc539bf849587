"""Custom kernels for a training step on CPUs, compiled on the machine that runs them.

TensorFlow's operations pass over memory one after the other, and are compiled for processors of
2011. These kernels fuse several into one pass, with the instructions of this processor: `loops.h`
is the arithmetic, `kernels.cc` makes TensorFlow operations of it, `building.py` compiles them once
for a machine. Without them TensorFlow's own operations compute the same numbers up to rounding.

Only the training step uses them, never evaluation, export or serving.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from types import ModuleType

_in_use: contextvars.ContextVar[ModuleType | None] = contextvars.ContextVar("kernels", default=None)


@contextlib.contextmanager
def computing_with(kernels: ModuleType | None) -> Iterator[None]:
    """Ops traced in this scope, gradients included, use these kernels; `None`: TensorFlow's."""
    token = _in_use.set(kernels)
    try:
        yield
    finally:
        _in_use.reset(token)


def kernels_in_use() -> ModuleType | None:
    """Returns the kernels that ops traced now use."""
    return _in_use.get()
