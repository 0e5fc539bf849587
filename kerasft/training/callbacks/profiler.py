"""TensorFlow's profiler around some steps of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from kerasft.training.callbacks.callback import BatchStats, Callback, StepResult


class ProfilerCallback(Callback):
    """Records what a run computes from one step to another.

    Args:
        folder: TensorBoard's; the profile goes to `plugins/profile/` in it.
        steps: The first and the last step, such as `10-15`.
        log: Called with a message that says where the profile is.
    """

    def __init__(self, folder: Path, steps: str, log: Callable[[str], None]):
        self._folder = folder
        self._first, self._last = map(int, steps.split("-"))
        self._log = log
        self._total_steps = 0
        self._is_running = False

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Begins, if the next step is to be recorded; says so if none will be."""
        if self._first > total_steps:
            self._log(
                f"Nothing is profiled: the run has {total_steps:,} steps, and "
                f'training.profile_steps="{self._first}-{self._last}" begins later.'
            )
        self._total_steps = total_steps
        self._advance(start_step)

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Begins or ends."""
        self._advance(result.step)

    def close(self) -> None:
        """Ends."""
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
