"""Runs TensorFlow's profiler during some steps of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from kerasft.training.callbacks.callback import BatchStats, Callback, StepResult


class ProfilerCallback(Callback):
    """Profiles a range of steps, such as `10-15`, into `plugins/profile/` of TensorBoard's folder.

    `log` is called with the location of the profile.
    """

    def __init__(self, folder: Path, steps: str, log: Callable[[str], None]):
        self._folder = folder
        self._first, self._last = map(int, steps.split("-"))
        self._log = log
        self._total_steps = 0
        self._is_running = False

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Starts if the next step is to be profiled; reports if no step will be."""
        if self._first > total_steps:
            self._log(
                f"Nothing is profiled: the run has {total_steps:,} steps, and "
                f'training.profile_steps="{self._first}-{self._last}" begins later.'
            )
        self._total_steps = total_steps
        self._advance(start_step)

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Starts or stops the profiler."""
        self._advance(result.step)

    def close(self) -> None:
        """Stops the profiler."""
        self._stop()

    def _advance(self, step: int) -> None:
        if step >= min(self._last, self._total_steps):
            self._stop()
        elif step + 1 >= self._first and not self._is_running:
            tf.profiler.experimental.start(str(self._folder))
            self._is_running = True

    def _stop(self) -> None:
        if self._is_running:
            self._is_running = False
            tf.profiler.experimental.stop()
            self._log(
                f"The profile is in {self._folder / 'plugins' / 'profile'}. TensorBoard shows it "
                "where its plugin is: pip install tensorboard-plugin-profile."
            )
