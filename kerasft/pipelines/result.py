"""What a finished run left behind, as plain data."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Run:
    """What a finished run left behind, as plain data.

    Args:
        path: The run directory.
        metrics: Flat metrics, `test/accuracy`, `validation/log_loss`, ...
        saved_model: The exported model's version folder; `None` if export is off.
        history: One mapping a step, as in `history.csv`.
        train: `examples_per_second`, `tokens_per_second`, `seconds`, `steps`, ...
        preset: The encoder's name.
        data: Name of the data source.
        label_names: The classes, in label order; none where answers are numbers.
        confusion: How often each true class (rows) was taken for each class, on the split that
            the report is about; `None` where there are no classes, or several to a text.
        has_pairs: Whether an example is a pair of texts.
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

    def to_json(self) -> dict[str, object]:
        """Returns the object that `--json` prints."""
        return {
            "run_dir": str(self.path),
            "saved_model": None if self.saved_model is None else str(self.saved_model),
            "metrics": self.metrics,
            "train": self.train,
            "preset": self.preset,
            "data": self.data,
        }
