"""TensorBoard's "HParams" tab: one row per run, with its settings and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.summary import session_end_pb

from kerasft.training.callbacks.callback import Callback

FOLDER = "hparams"
_SETTINGS_SUFFIX = ".settings"


class HParamsCallback(Callback):
    """Writes a run's settings and, as `<split>/<metric>`, the best metrics so far.

    The tab shows every scalar in the folder of the settings as a metric, so `folder/hparams` holds
    nothing else. If a study declares metrics, those take precedence. `settings` are keyed by
    `section.key`; `metrics` are those to show for each split, without the split in their keys.
    """

    def __init__(
        self,
        folder: Path,
        *,
        name: str,
        settings: Mapping[str, bool | float | str],
        metrics: Sequence[str],
    ):
        self._folder = folder / FOLDER
        self._name = name
        self._settings = settings
        self._metrics = metrics
        self._writer: tf.summary.SummaryWriter | None = None

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Writes the settings, replacing earlier ones, which a resumed run may change."""
        for path in self._folder.glob(f"*{_SETTINGS_SUFFIX}"):
            path.unlink()
        # A separate file, closed before the next one is opened.
        writer = tf.summary.create_file_writer(str(self._folder), filename_suffix=_SETTINGS_SUFFIX)
        with writer.as_default(step=0):
            hparams.hparams(dict(self._settings), trial_id=self._name)
        writer.close()

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Writes the best metrics so far."""
        if best:
            self._write(step, {f"{split}/{name}": value for name, value in metrics.items()})

    def on_results(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the final metrics and marks the run as finished."""
        self._write(step, metrics)
        with self._default(step):
            end = session_end_pb(api_pb2.STATUS_SUCCESS)
            tf.summary.experimental.write_raw_pb(end.SerializeToString())

    def close(self) -> None:
        """Closes the file."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def _write(self, step: int, metrics: Mapping[str, float]) -> None:
        with self._default(step):
            for name, value in metrics.items():
                if name.partition("/")[2] in self._metrics:
                    tf.summary.scalar(name, value)

    def _default(self, step: int):
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self._folder))
        return self._writer.as_default(step=step)
