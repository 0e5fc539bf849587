"""Saves checkpoints in a thread while training continues."""

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
    """Saves checkpoints in a thread while training continues.

    Values are copied at once; a step waits only while the previous checkpoint is still being
    written. The copy takes as much memory as a checkpoint.

    Args:
        folder: The run's folder of checkpoints.
        keep: Number of latest checkpoints to keep. Defaults to 2, in case the latest is damaged.
    """

    def __init__(self, folder: Path, *, keep: int = 2):
        self._folder = folder
        self._keep = keep
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future | None = None

    def save(self, step: int, variables: Sequence, state: Mapping) -> None:
        """Saves the checkpoint of a step, then removes those beyond `keep`.

        Raises:
            UserError: If the disk is or was full, for this one or the one before. Earlier
                checkpoints are untouched.
        """
        self.wait()
        values = named_values(variables)
        final, recorded = weights_path(self._folder, step), {**state, "step": step}
        check_space(final, values)
        self._pending = self._thread.submit(self._write, final, values, recorded)

    def wait(self) -> None:
        """Waits until the last save is on disk; raises `UserError` if the disk is full."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _write(self, final: Path, values: Mapping[str, np.ndarray], state: Mapping) -> None:
        write_arrays(final, values, state)
        for old in checkpoints_in(self._folder)[: -self._keep]:
            shutil.rmtree(old, ignore_errors=True)
        discard_earlier_best(self._folder)
