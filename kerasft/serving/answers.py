"""Converts the outputs of an exported model to JSON-ready predictions, one per text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

# Outputs that identify the problem type. `score` was added later: older exports lack it.
OUTPUTS = {
    "single": frozenset({"label", "probabilities", "logits"}),
    "multi": frozenset({"labels", "scores", "selected", "logits"}),
    "number": frozenset({"value", "logits"}),
}


def kind_of(outputs: set[str]) -> str | None:
    """Returns the problem type with such outputs, `None` for a third-party model."""
    return next((kind for kind, names in OUTPUTS.items() if names <= outputs), None)


def build_answers(
    kind: str, outputs: Mapping[str, np.ndarray], label_names: Sequence[str] | None
) -> Iterator[dict[str, Any]]:
    """Yields the prediction for each example of a batch.

    Args:
        kind: `single`, `multi` or `number`.
        outputs: Outputs of the signature by name; the first axis is the batch.
        label_names: In label order; `None` if unknown.

    Yields:
        `{"label": name, "score": its probability, "probabilities": {name: float}}`, without `score`
        if the model gives none; `{"labels": [names that apply], "scores": {name: float}}`; or
        `{"value": float}`. Without names, `probabilities` and `scores` are lists in label order.
    """
    columns = {name: values.tolist() for name, values in outputs.items()}
    if kind == "number":
        for value in columns["value"]:
            yield {"value": value}
    elif kind == "multi":
        for number, scores in enumerate(columns["scores"]):
            if label_names is None:  # those that apply come first, padded with empty ones
                labels = [name.decode() for name in columns["labels"][number] if name]
            else:
                chosen = zip(label_names, columns["selected"][number], strict=True)
                labels = [name for name, applies in chosen if applies]
            yield {"labels": labels, "scores": _by_name(scores, label_names)}
    else:
        for number, label in enumerate(columns["label"]):
            answer = {"label": label.decode()}
            if "score" in columns:
                answer["score"] = columns["score"][number]
            row = columns["probabilities"][number]
            yield answer | {"probabilities": _by_name(row, label_names)}


def _by_name(
    values: list[float], label_names: Sequence[str] | None
) -> dict[str, float] | list[float]:
    return values if label_names is None else dict(zip(label_names, values, strict=True))
