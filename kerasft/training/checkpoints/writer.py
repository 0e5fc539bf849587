"""Saving checkpoints while training goes on."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from kerasft.training.checkpoints.checkpoint import (
    check_space,
    checkpoints_in,
    discard_earlier_best,
    named_values,
    weights_path,
    write_arrays,
)


class CheckpointWriter:
    """Saves checkpoints while training goes on.

    A checkpoint's values are copied at once, and written by a thread: a step waits only where the
    one before is still being written. As many bytes as a checkpoint has are held meanwhile.

    Args:
        folder: The run's folder of checkpoints.
        keep: How many of the latest are kept. Defaults to 2: the latest, and one before it should
            the latest be damaged.
    """

    def __init__(self, folder: Path, *, keep: int = 2):
        self._folder = folder
        self._keep = keep
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None

    def save(self, step: int, variables: Sequence, state: Mapping) -> None:
        """Saves a checkpoint of a step; older ones than are kept are removed when it stands.

        Raises:
            UserError: If the disk is full, or was so for the one before. Earlier checkpoints are
                untouched.
        """
        self.wait()
        values = named_values(variables)
        final, recorded = weights_path(self._folder, step), {**state, "step": step}
        check_space(final, values)
        self._pending = self._thread.submit(self._write, final, values, recorded)

    def wait(self) -> None:
        """Waits until what was saved is on the disk.

        Raises:
            UserError: If the disk is full.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, final: Path, values: Mapping[str, np.ndarray], state: Mapping) -> None:
        write_arrays(final, values, state)
        for old in checkpoints_in(self._folder)[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        discard_earlier_best(self._folder)
