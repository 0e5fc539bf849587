"""TensorBoard pictures of an evaluation: PR curves, plots as images, texts as points."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.plugins import projector
from tensorboard.plugins.pr_curve import summary as pr_curve

from kerasft.data.example import NUMBER, SINGLE
from kerasft.evaluation.plots import plot_confusion, plot_reliability, plot_roc
from kerasft.metrics.calibration import reliability_bins
from kerasft.metrics.classification import confusion
from kerasft.run_dir import write_atomically
from kerasft.tasks.task import Task

TENSORS, METADATA = "projector_vectors.tsv", "projector_texts.tsv"
_LONGEST_TEXT = 300  # characters; the projector shows a text in one line
_MOST_CURVES = 20  # labels, those with most examples


@dataclasses.dataclass(frozen=True)
class EvaluationPictures:
    """Draws an evaluation.

    Regression has no pictures; confusion matrix and reliability diagram need one label per text.
    """

    task: Task
    calibration_bins: int = 15

    def write(
        self, split: str, step: int, labels: np.ndarray, logits: np.ndarray, *, plots: bool
    ) -> None:
        """Writes to the default writer.

        `labels` and `logits`, float `(num_examples, num_outputs)`, are as in the task's `evaluate`.
        `plots` adds the images, which take some tenths of a second, to the PR curves.
        """
        if self.task.kind == NUMBER:
            return
        targets, scores = one_against_rest(self.task, labels, logits)
        chosen = most_frequent(targets)
        names = [self.task.label_names[index] for index in chosen]
        curves = targets[:, chosen], scores[:, chosen], names
        for target, score, name in zip(curves[0].T, curves[1].T, names, strict=True):
            write_pr_curve(name, target, score, step=step)
        if plots:
            for name, png in self._plots(f"{split}, step {step:,}", labels, scores, curves):
                tf.summary.image(name, tf.io.decode_png(png, channels=3)[None], step=step)

    def _plots(self, title, labels, scores, curves) -> Iterator[tuple[str, bytes]]:
        if self.task.kind == SINGLE:
            names = self.task.label_names
            counts = confusion(labels, scores.argmax(axis=-1), len(names))
            bins = reliability_bins(labels, scores, self.calibration_bins)
            yield "plots/confusion_matrix", plot_confusion(counts, names, title=title)
            yield "plots/reliability_diagram", plot_reliability(bins, title=title)
        yield "plots/roc_curves", plot_roc(*curves, title=title)


def one_against_rest(
    task: Task, labels: np.ndarray, logits: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns whether each label applies to each example (bool), and its probability (float32).

    Both are `(num_examples, num_labels)`. For single- and multi-label tasks; `labels` and `logits`
    are as in the task's `evaluate`.
    """
    answer = task.decode(tf.constant(logits))
    if task.kind == SINGLE:
        return np.eye(task.num_outputs, dtype=bool)[labels], answer["probabilities"].numpy()
    return np.asarray(labels, bool), answer["scores"].numpy()


def most_frequent(targets: np.ndarray) -> list[int]:
    """Returns the (at most 20) labels with most examples, in label order, which get curves."""
    order = np.argsort(-targets.sum(axis=0), kind="stable")
    return sorted(order[:_MOST_CURVES].tolist())


def write_pr_curve(name: str, targets: np.ndarray, scores: np.ndarray, *, step: int) -> None:
    """Writes a label's curve for TensorBoard's tab "PR Curves", to the default writer.

    Args:
        name: The label.
        targets: Whether it applies, bool `(num_examples,)`.
        scores: Its probability, `(num_examples,)`.
        step: Steps done.
    """
    summary = pr_curve.pb(
        f"pr_curve/{name}",
        targets,
        # The plugin sorts probabilities into steps of 1/200; rounding may put one above 1.
        np.clip(scores.astype(np.float64), 0.0, 1.0),
        display_name=name,
    )
    tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)


def write_projector(
    folder: Path, vectors: np.ndarray, columns: Mapping[str, Sequence[str]]
) -> None:
    """Writes points and their metadata into a run's TensorBoard folder.

    Args:
        folder: Must hold event files, or the projector ignores it.
        vectors: float `(num_points, width)`.
        columns: Metadata of the points by column name; two columns or more.
    """
    rows = [columns.keys(), *zip(*columns.values(), strict=True)]
    lines = ("\t".join(map(_one_line, row)) for row in rows)
    write_atomically(folder / METADATA, "".join(f"{line}\n" for line in lines))
    points = ("\t".join(f"{value:.6g}" for value in vector) for vector in vectors)
    write_atomically(folder / TENSORS, "".join(f"{line}\n" for line in points))
    config = projector.ProjectorConfig()
    config.embeddings.add(tensor_name="texts", tensor_path=TENSORS, metadata_path=METADATA)
    projector.visualize_embeddings(str(folder), config)


def _one_line(text: str) -> str:
    # Characters that the projector would read as the end of a line or cell.
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"
