"""The task protocol, and the choice of a task by its kind of label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from kerasft.data.example import LABEL_KINDS, MULTI, NUMBER, SINGLE
from kerasft.errors import UserError
from kerasft.metrics.weighted import WeightedMetric
from kerasft.models.heads import LinearHead
from kerasft.tasks.classification import Classification
from kerasft.tasks.multilabel import MultiLabel
from kerasft.tasks.regression import Regression


class Task(Protocol):
    """Everything that depends on the task: head, loss, metrics, and the decoding of logits.

    Attributes:
        kind: One of `kerasft.data.example.LABEL_KINDS`.
        label_names: In label order; empty for regression.
        headline: The headline metric, one of `evaluate`.
        has_thresholds: Whether `with_tuned_thresholds` changes anything.
        num_outputs: Number of logits.
    """

    kind: str
    label_names: tuple[str, ...]
    headline: str
    has_thresholds: bool
    num_outputs: int

    def build_head(self, *, hidden_dim: int, dropout: float, seed: int) -> LinearHead:
        """Builds the head that turns pooled vectors into logits."""

    def build_loss(self) -> keras.losses.Loss:
        """Builds the loss; its `call(labels, logits)` gives one value per example."""

    def divergence(self, logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """Returns the divergence of the outputs of two passes, float32 `(batch_size,)`."""

    def build_metrics(self) -> list[keras.metrics.Metric]:
        """Builds the training metrics."""

    def decode(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Decodes logits into predictions: the ONE graph of evaluation, predict, SavedModel."""

    def evaluate(
        self, labels: np.ndarray, logits: np.ndarray, *, calibration_bins: int = 15
    ) -> dict[str, float]:
        """Computes the metrics of a split from its labels and logits."""

    def details(
        self, labels: np.ndarray, logits: np.ndarray, *, calibration_bins: int = 15
    ) -> dict[str, Any]:
        """Returns other fields of a split's `EvaluationFacts`, and further `metrics`."""

    def weighted_metric(
        self, name: str, labels: np.ndarray, logits: np.ndarray
    ) -> WeightedMetric | None:
        """Returns a metric of `evaluate` as a function of weights, `None` if unsupported."""

    def with_tuned_thresholds(self, labels: np.ndarray, logits: np.ndarray) -> Task:
        """Returns the task with the best thresholds for these examples, if it has thresholds."""

    def perfect_logits(self, labels: np.ndarray) -> np.ndarray:
        """Returns logits whose predictions are the labels, as a perfect model's."""

    def record(self) -> dict[str, Any]:
        """Returns plain data from which `task_from_record` builds a task that decodes alike."""


def build_task(  # noqa: PLR0913 - each is a setting of one kind
    label_kind: str,
    label_names: Sequence[str],
    *,
    headline: str | None = None,
    label_smoothing: float = 0.0,
    thresholds: Sequence[float] | None = None,
    value_range: tuple[float | None, float | None] = (None, None),
    focal_gamma: float | None = None,
    huber_delta: float | None = None,
    target_scaling: tuple[float, float] = (0.0, 1.0),
) -> Task:
    """Builds the task of a kind of label.

    Args:
        label_kind: `single` (one of several classes), `multi` (any number of labels), `number`.
        label_names: In label order; empty for regression.
        headline: The headline metric; `None` is `accuracy`, `f1_micro` or `pearson`.
        label_smoothing: `single` only; see `Classification`. Defaults to 0.
        thresholds: `multi` only; see `MultiLabel`. `None` is 0.5 for each label.
        value_range: `number` only; see `Regression`. Defaults to no limits.
        focal_gamma: `single` and `multi` only; `None`: no focal loss.
        huber_delta: `number` only; `None`: the squared error.
        target_scaling: `number` only: mean and standard deviation of the training targets. Defaults
            to (0, 1): nothing is standardized.

    Raises:
        ValueError: An unknown kind, or a setting that is unsupported by the kind.
    """
    if label_kind not in LABEL_KINDS:
        raise ValueError(
            "There is no such kind of label. "
            f"Received: {label_kind!r}. Expected: one of {', '.join(LABEL_KINDS)}."
        )
    _refuse_foreign_settings(
        label_kind,
        {
            "label_smoothing": (SINGLE, label_smoothing, label_smoothing != 0),
            "thresholds": (MULTI, thresholds, thresholds is not None),
            "value_range": (NUMBER, tuple(value_range), tuple(value_range) != (None, None)),
            "focal_gamma": (f"{SINGLE}, {MULTI}", focal_gamma, focal_gamma is not None),
            "huber_delta": (NUMBER, huber_delta, huber_delta is not None),
            "target_scaling": (NUMBER, tuple(target_scaling), tuple(target_scaling) != (0.0, 1.0)),
        },
    )
    if label_kind == SINGLE:
        shared = {"headline": headline, "focal_gamma": focal_gamma}
        return Classification(label_names, label_smoothing=label_smoothing, **shared)
    if label_kind == MULTI:
        return MultiLabel(
            label_names, headline=headline, thresholds=thresholds, focal_gamma=focal_gamma
        )
    return Regression(
        headline=headline,
        value_range=value_range,
        huber_delta=huber_delta,
        target_scaling=target_scaling,
    )


def _refuse_foreign_settings(
    label_kind: str, settings: Mapping[str, tuple[str, object, bool]]
) -> None:
    """Raises a `ValueError` for given settings that are unsupported by this kind of label.

    `settings` are by name: the kinds that have it, its value, and whether it is given.
    """
    for name, (kinds, value, given) in settings.items():
        if given and label_kind not in kinds.split(", "):
            raise ValueError(
                f"Labels of the kind {label_kind} have no `{name}`. "
                f"Received: {value}. Expected: labels of the kind {kinds}."
            )


def scaling_of(task: Task) -> tuple[float, float]:
    """Returns the mean and standard deviation that a task standardizes by; 0, 1 for none."""
    return getattr(task, "target_mean", 0.0), getattr(task, "target_scale", 1.0)


def task_from_record(record: Mapping[str, Any]) -> Task:
    """Builds the task of a finished run; it decodes as that run's did.

    Label smoothing is not part of the record.

    Args:
        record: From `Task.record`, possibly read from JSON.

    Raises:
        UserError: A kind of label that this version does not know, or an incomplete record.
    """
    kind = record.get("kind")
    if kind not in LABEL_KINDS or "label_names" not in record:
        raise UserError(
            "The run keeps a task that this version of kerasft cannot build.",
            received=dict(record),
            expected=f"a kind ({', '.join(LABEL_KINDS)}) and label_names",
            fix="use the version of kerasft that made the run; environment.json names it.",
        )
    return build_task(
        kind,
        record["label_names"],
        headline=record.get("headline"),
        thresholds=record.get("thresholds"),
        value_range=tuple(record.get("value_range") or (None, None)),
        # Runs of earlier versions standardized nothing.
        target_scaling=(record.get("target_mean", 0.0), record.get("target_scale", 1.0)),
    )
