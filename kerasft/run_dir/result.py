"""The result of a finished run, as plain data."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Run:
    """The result of a finished run, as plain data.

    Args:
        path: The run directory.
        metrics: Flat metrics, `test/accuracy`, `validation/log_loss`, ...
        saved_model: The exported model's version folder; `None` if export is off.
        history: One mapping per step, as in `history.csv`.
        train: `examples_per_second`, `tokens_per_second`, `seconds`, `steps`, ...
        preset: The encoder's name.
        data: Name of the data source.
        label_names: The classes, in label order; empty for regression.
        confusion: Counts of predicted classes (columns) for each true class (rows) on the reported
            split; `None` for regression and multi-label tasks.
        has_pairs: Whether an example is a pair of texts.
        notes: Sentences on undefined, partial or zero metrics, each prefixed with its split.
        evaluation_data: Source of the examples of each evaluated split, such as `b.csv`.
        left_out: Number of examples left out, by split and reason.
    """

    path: Path
    metrics: dict[str, float]
    saved_model: Path | None
    history: list[dict]
    train: dict[str, float]
    preset: str
    data: str
    label_names: tuple[str, ...]
    confusion: list[list[int]] | None
    has_pairs: bool = False
    notes: list[str] = dataclasses.field(default_factory=list)
    evaluation_data: dict[str, str] = dataclasses.field(default_factory=dict)
    left_out: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, object]:
        """Returns the object that `--json` prints."""
        return {
            "run_dir": str(self.path),
            "saved_model": None if self.saved_model is None else str(self.saved_model),
            "metrics": self.metrics,
            "train": self.train,
            "preset": self.preset,
            "data": self.data,
            "evaluation_data": self.evaluation_data,
            "left_out": self.left_out,
            "notes": self.notes,
        }
