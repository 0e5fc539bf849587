"""Memory that runs out: what was asked for, what there is, and the settings that help."""

from __future__ import annotations

import contextlib
import math
import mmap
import re
from collections.abc import Callable, Iterator

import tensorflow as tf

from kerasft.errors import UserError
from kerasft.training.loop.memory import available_bytes, resident_bytes

TRAINING_FIX = (
    "set training.gradient_accumulation_steps=4 (a batch in four parts, the same update), "
    "performance.gradient_checkpointing=true, or a smaller training.batch_size or "
    "training.sequence_length."
)
EVALUATION_FIX = "set a smaller evaluation.batch_size."
_RESERVED_BYTES = 1 << 26  # address space, untouched: room to report the error
# One line of TensorFlow's message, which may stand below a traceback: of an allocator, of XLA, or
# of oneDNN, whose status 1 is `dnnl_out_of_memory`. A full disk is the same class of error.
_ALLOCATION = re.compile(r"^.*(?:OOM when allocating|[Oo]ut of memory|Status: 1, message).*$", re.M)
_TENSOR = re.compile(r"shape\[(?P<shape>[\d,]*)\] and type (?P<type>\w+)")


class OutOfMemoryError(UserError):
    """Memory ran out in a step or an evaluation.

    Args:
        asked: What could not be allocated.
        where: What was computed.
        fix: The settings that help.
        in_evaluation: Whether it was an evaluation.
    """

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
    """Raises an `OutOfMemoryError` in place of TensorFlow's errors and Python's for it.

    Args:
        where: Returns what is computed, such as "step 3".
        in_evaluation: Whether it is an evaluation.
    """
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
    """Returns what could not be allocated; `None` if memory is not what is missing."""
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
