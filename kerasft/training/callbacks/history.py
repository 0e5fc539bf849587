"""`history.csv`: one row per step, written during the run, read afterwards and on resume."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from kerasft.errors import UserError
from kerasft.run_dir import telling_os_errors, write_atomically
from kerasft.training.callbacks.callback import BatchStats, Callback, StepResult

STEP_COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "gradient_norm",
    "seconds",
    "examples_per_second",
    "tokens_per_second",
    "padding_share",
    "idle_share",
)
ALTERED_COLUMN = "altered_share"  # only if training texts are augmented
# Present in every row of every version; the other columns may be missing or empty.
_ALWAYS_FILLED = frozenset(STEP_COLUMNS) - {"idle_share"}


class HistoryCallback(Callback):
    """Writes `history.csv`: one row per step, with validation metrics where an evaluation followed.

    Each row is flushed when its step is done, so a killed run loses none. An evaluation rewrites
    the last row with more values. An existing file is appended to, starting after the resumed step;
    columns missing on either side are left empty.

    Args:
        path: The file.
        metrics: The validation metrics that get a column each.
        augments: Whether to add a column for the share of altered examples.
    """

    def __init__(self, path: Path, metrics: Sequence[str], *, augments: bool = False):
        self._path = path
        self._metrics = tuple(metrics)
        altered = (ALTERED_COLUMN,) if augments else ()
        self._columns = (*STEP_COLUMNS, *altered, *(f"validation/{name}" for name in metrics))
        self._file: TextIO | None = None
        self._steps_per_epoch = 1
        self._row: dict[str, float | None] = {}
        self._row_start = 0  # byte offset of the last row

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Opens the file after the rows of the steps already done."""
        self._steps_per_epoch = steps_per_epoch
        rows = _rows_until(self._path, start_step)
        self._columns = tuple(dict.fromkeys([*self._columns, *(rows[0] if rows else ())]))
        write_atomically(self._path, _to_csv(rows, self._columns))
        self._file = self._path.open("r+", encoding="utf-8", newline="")
        self._file.seek(0, os.SEEK_END)
        self._row = rows[-1] if rows else {}
        self._row_start = len(_to_csv(rows[:-1], self._columns).encode())

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Writes the step's row."""
        self._row_start = self._file.tell()
        self._row = {
            "step": result.step,
            "epoch": result.step / self._steps_per_epoch,
            "loss": result.loss,
            "learning_rate": result.learning_rate,
            "gradient_norm": result.gradient_norm,
            "seconds": result.seconds,
            **stats.speed(result.seconds),
        }
        if ALTERED_COLUMN in self._columns:
            self._row[ALTERED_COLUMN] = (stats.altered or 0) / stats.examples
        self._write_row()

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Fills the validation columns of the last step's row."""
        if split != "validation" or self._row.get("step") != step:
            return
        self._row |= {f"validation/{name}": metrics.get(name) for name in self._metrics}
        self._file.seek(self._row_start)
        self._write_row()

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._row = None, {}

    def _write_row(self) -> None:
        with telling_os_errors(self._path):
            self._file.write(_to_csv([self._row], self._columns, header=False))
            self._file.flush()


def read_history(path: Path) -> list[dict[str, float | None]]:
    """Reads `history.csv` as one mapping per step, `None` for empty cells.

    A last line torn by a kill is skipped.

    Raises:
        UserError: If the file is missing, or an earlier line is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError as error:
        raise UserError(
            f"{path} is missing.",
            expected="the history of a run, whose folder nobody changes while it runs",
            fix=f"put it back, or resume without it: kerasft run --resume {path.parent}. If the "
            "whole folder was removed, start the run again.",
        ) from error
    whole = [line for line in lines if line.endswith("\n")]
    rows = []
    for number, row in enumerate(csv.DictReader(whole), start=2):
        try:
            rows.append({name: _number(name, cell) for name, cell in row.items()})
        except (AttributeError, TypeError, ValueError) as error:
            raise UserError(
                f"Line {number} of {path} is damaged.",
                received=whole[number - 1].rstrip(),
                expected=f"{len(row)} numbers",
                fix="Remove the line.",
            ) from error
    return rows


def _rows_until(path: Path, step: int) -> list[dict[str, float | None]]:
    rows = read_history(path) if path.exists() else []
    return [row for row in rows if row["step"] <= step]


def _number(name: str, cell: str) -> float | None:
    if name == "step":
        return int(cell)
    if not cell and name not in _ALWAYS_FILLED:
        return None
    return float(cell)


def _to_csv(
    rows: Sequence[Mapping[str, float | None]], columns: Sequence[str], *, header: bool = True
) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        # Nine digits hold every float32 exactly.
        writer.writerow({k: f"{v:.9g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue()
