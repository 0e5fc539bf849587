"""TensorBoard: what a run writes for it, and how a resumed run takes back what lies ahead.

`<folder>/train` and `<folder>/validation` are two runs in TensorBoard's eyes: with the same tag,
their curves lie in one chart.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf

from kerasft.training.events import BatchStats, Events

if TYPE_CHECKING:
    from kerasft.training.loop import StepResult

STEP_TAGS = (
    "step/loss",
    "step/learning_rate",
    "step/gradient_norm",
    "speed/examples_per_second",
    "speed/tokens_per_second",
    "speed/padding_share",
    "speed/idle_share",
)
ALTERED_TAG = "step/altered_share"
_RECORD_OVERHEAD_BYTES = 16  # of the TFRecord format: length and two checksums


class TensorBoardEvents(Events):
    """Writes scalars of every step, metrics of every epoch and evaluation, and the recipe.

    All are over the number of steps done. Leaving a writer's `as_default` flushes it: TensorBoard
    sees every step at once, and a killed run loses none.

    Args:
        folder: Where the folders `train`, `validation`, `test` are made as they are needed.
        recipe_text: The recipe as TOML; shown on the tab "Text".
    """

    def __init__(self, folder: Path, recipe_text: str):
        self._folder = folder
        self._recipe_text = recipe_text
        self._writers: dict[str, tf.summary.SummaryWriter] = {}
        self._write_step: Callable | None = None

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Writes the recipe, at the start of a new run."""
        writer = self._writer("train")
        self._write_step = _build_step_writer(writer)
        if start_step == 0:
            with writer.as_default(step=0):
                tf.summary.text("recipe", f"```toml\n{self._recipe_text.strip()}\n```")

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Writes loss, rate, gradient norm, speed, and the shares of padding, idle and altered."""
        speed = stats.speed(result.seconds)
        values = [result.loss, result.learning_rate, result.gradient_norm, *speed.values()]
        self._write_step(values, result.step)
        if stats.altered is not None:
            with self._writer("train").as_default(step=result.step):
                tf.summary.scalar(ALTERED_TAG, stats.altered / stats.examples)

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Writes the epoch's training metrics."""
        self._write_metrics("train", step, metrics)

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Writes the evaluation's metrics; its log loss is what training calls loss."""
        if "log_loss" in metrics:
            metrics = {**metrics, "loss": metrics["log_loss"]}
        self._write_metrics(split, step, metrics)

    def close(self) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, name: str) -> tf.summary.SummaryWriter:
        if name not in self._writers:
            self._writers[name] = tf.summary.create_file_writer(str(self._folder / name))
        return self._writers[name]

    def _write_metrics(self, name: str, step: int, metrics: Mapping[str, float]) -> None:
        with self._writer(name).as_default(step=step):
            for metric, value in metrics.items():
                if not metric.startswith("support/"):  # a count that never changes is no curve
                    tf.summary.scalar(_tag(metric), value)


def rewind_tensorboard(folder: Path, step: int) -> None:
    """Drops the events after a step, and a record that a killed run left torn.

    Each file is written beside its place and renamed.

    Args:
        folder: The run's TensorBoard folder; may be missing.
        step: The last step to keep; of 0 nothing is kept, since training begins anew.
    """
    if step == 0:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in sorted(folder.rglob("*tfevents*")):
        kept = [
            record
            for record in _whole_records(path)
            if tf.compat.v1.Event.FromString(record).step <= step
        ]
        kept_bytes = sum(len(record) + _RECORD_OVERHEAD_BYTES for record in kept)
        if kept_bytes != path.stat().st_size:
            _write_records(path, kept)


def _tag(metric: str) -> str:
    """Returns a chart's name; its first part is the group that TensorBoard shows it in."""
    return f"per_class/{metric}" if "/" in metric else f"epoch/{metric}"


def _build_step_writer(writer: tf.summary.SummaryWriter) -> Callable:
    """Builds the function that writes a step: as one graph it costs less than half."""

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
        return  # torn by a kill: what comes after cannot be read by TensorBoard either


def _write_records(path: Path, records: list[bytes]) -> None:
    # TensorBoard reads whatever has "tfevents" in its name: the file being written has not.
    beside = path.with_name(".rewinding")
    try:
        with tf.io.TFRecordWriter(str(beside)) as writer:
            for record in records:
                writer.write(record)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
