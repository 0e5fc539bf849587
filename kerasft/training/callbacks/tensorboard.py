"""Writes a run's TensorBoard events, and rewinds them when the run is resumed.

`<folder>/train` and `<folder>/validation` are two runs for TensorBoard, so curves with the same tag
share a chart.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasft.training.callbacks import hparams
from kerasft.training.callbacks.callback import BatchStats, Callback, StepResult
from kerasft.training.callbacks.scalars import STEP_TAGS, metric_scalars, step_scalars

LENGTHS_TAG = "tokens_per_text"
VALIDATION = "validation"
_DURING_TRAINING = ("train", VALIDATION, hparams.FOLDER)
_RECORD_OVERHEAD_BYTES = 16  # TFRecord format: length and two checksums


class TensorBoardCallback(Callback):
    """Writes scalars of every step, metrics and pictures of every evaluation, and the recipe.

    The x-axis is the number of steps done. Leaving a writer's `as_default` flushes it, so a killed
    run loses no step. Each folder has one writer: TensorBoard stops reading a file once the folder
    holds a newer one.

    Args:
        folder: Folder in which `train`, `validation` and `test` are created when needed.
        recipe_text: The recipe as TOML; shown on the tab "Text".
        lengths: Token counts of the texts by split, for the tab "Histograms".
        pictures: A `kerasft.evaluation.pictures.EvaluationPictures`, which draws the evaluations.
            Defaults to `None`: nothing is drawn.
    """

    def __init__(
        self,
        folder: Path,
        recipe_text: str,
        *,
        lengths: Mapping[str, np.ndarray] | None = None,
        pictures: Any = None,
    ):
        self._folder = folder
        self._recipe_text = recipe_text
        self._lengths = lengths or {}
        self._pictures = pictures
        self._predictions: tuple[str, np.ndarray, np.ndarray] | None = None
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._write_step: Callable | None = None

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Writes the recipe and the text lengths at the start of a new run."""
        writer = self._writer("train")
        self._write_step = _build_step_writer(writer)
        if start_step == 0:
            with writer.as_default(step=0):
                tf.summary.text("recipe", f"```toml\n{self._recipe_text.strip()}\n```")
            for split, lengths in self._lengths.items():
                with self._writer(split).as_default(step=0):
                    tf.summary.histogram(LENGTHS_TAG, lengths)

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Writes the step's loss, rate, gradient norm, speed, memory and norms."""
        scalars = step_scalars(result, stats)
        self._write_step([scalars.pop(tag) for tag in STEP_TAGS], result.step)
        if scalars:
            self._write("train", result.step, scalars)

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the epoch's training metrics."""
        self._write("train", step, metric_scalars(metrics))

    def on_predictions(self, split: str, labels: np.ndarray, logits: np.ndarray) -> None:
        """Keeps the predictions, to draw them in `on_evaluation`."""
        if self._pictures is not None:
            self._predictions = split, labels, logits

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Writes metrics and pictures of the evaluation; images only for a best one or a test."""
        self._write(split, step, metric_scalars(metrics))
        predictions, self._predictions = self._predictions, None
        if predictions is not None and predictions[0] == split:
            with self._writer(split).as_default(step=step):
                plots = best or split != VALIDATION
                self._pictures.write(split, step, *predictions[1:], plots=plots)

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, name: str) -> tf.summary.SummaryWriter:
        if name not in self._writers:
            self._writers[name] = tf.summary.create_file_writer(str(self._folder / name))
        return self._writers[name]

    def _write(self, name: str, step: int, scalars: Mapping[str, float]) -> None:
        with self._writer(name).as_default(step=step):
            for tag, value in scalars.items():
                tf.summary.scalar(tag, value)


def rewind_tensorboard(folder: Path, step: int) -> None:
    """Drops the events after a step, and a record torn by a kill.

    All test events are dropped: a test comes after the last checkpoint and is repeated on resume.
    Each file is rewritten under another name and renamed. `folder` may be missing; step 0 keeps
    nothing, since training starts over.
    """
    if step == 0:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in sorted(folder.rglob("*tfevents*")):
        last = step if path.parent.name in _DURING_TRAINING else 0
        kept = [
            record
            for record in _whole_records(path)
            if tf.compat.v1.Event.FromString(record).step <= last
        ]
        kept_bytes = sum(len(record) + _RECORD_OVERHEAD_BYTES for record in kept)
        if kept_bytes != path.stat().st_size:
            _write_records(path, kept)


def _build_step_writer(writer: tf.summary.SummaryWriter) -> Callable:
    """Builds the function that logs a step; as one graph it costs less than half."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([len(STEP_TAGS)], tf.float32),
            tf.TensorSpec([], tf.int64),
        ],
        autograph=False,
    )
    def write(values, step):
        with writer.as_default(step=step):
            for tag, value in zip(STEP_TAGS, tf.unstack(values), strict=True):
                tf.summary.scalar(tag, value)

    return write


def _whole_records(path: Path) -> Iterator[bytes]:
    records = tf.data.TFRecordDataset(str(path), buffer_size=1 << 20)
    try:
        yield from records.as_numpy_iterator()
    except tf.errors.DataLossError:
        return  # torn by a kill; TensorBoard cannot read what follows either


def _write_records(path: Path, records: list[bytes]) -> None:
    # TensorBoard reads every file with "tfevents" in its name; the temporary name has none.
    beside = path.with_name(".rewinding")
    try:
        with tf.io.TFRecordWriter(str(beside)) as writer:
            for record in records:
                writer.write(record)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
