"""What a run tells while it runs: the listeners' interface, and the one that writes `history.csv`.

TensorBoard's listener is in `training/tensorboard.py`, the terminal's in `training/progress.py`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from kerasft.errors import UserError
from kerasft.run_dir import telling_os_errors, write_atomically

if TYPE_CHECKING:  # the loop imports TensorFlow, which nothing here needs
    from kerasft.training.loop import StepResult

HEADLINE_METRICS = ("accuracy", "f1_macro", "log_loss")
HISTORY_COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "gradient_norm",
    "seconds",
    "examples_per_second",
    "tokens_per_second",
    "padding_share",
    *(f"validation/{name}" for name in HEADLINE_METRICS),
)


@dataclass(frozen=True)
class BatchStats:
    """What one global batch held.

    Args:
        examples: Number of examples.
        tokens: Real tokens, without padding.
        positions: Tokens computed: examples times padded length.
    """

    examples: int
    tokens: int
    positions: int

    def speed(self, seconds: float) -> dict[str, float]:
        """Returns `examples_per_second`, `tokens_per_second` (real ones) and `padding_share`.

        Args:
            seconds: Time that the batch took.
        """
        return {
            "examples_per_second": self.examples / seconds,
            "tokens_per_second": self.tokens / seconds,
            "padding_share": 1 - self.tokens / self.positions,
        }


class Events:
    """What happens in a run. Every method does nothing: a listener overrides what it wants.

    Evaluations also happen outside of training: before `on_start` and after `close`.
    """

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Training begins.

        Args:
            start_step: Steps done before: 0, or more when resuming.
            total_steps: Steps of the whole run, those included.
            steps_per_epoch: Steps of an epoch.
        """

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """A step was done, on a batch of `stats`."""

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """An epoch ended.

        Args:
            epoch: Epochs done, this one included.
            step: Steps done.
            metrics: Training metrics averaged over the epoch, such as `loss` and `accuracy`.
        """

    def on_evaluation_start(self, split: str, num_examples: int) -> None:
        """An evaluation begins."""

    def on_evaluation_batch(self, num_examples: int) -> None:
        """So many more examples were evaluated."""

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """An evaluation ended.

        Args:
            split: `validation` or `test`.
            step: Steps done.
            metrics: Keys without the split: `accuracy`, `log_loss`, `f1/<label>`, ...
            best: Whether it is the best so far.
        """

    def on_message(self, text: str) -> None:
        """Something worth a line to people."""

    def close(self) -> None:
        """Training ended, well or not. May be called more than once."""


class AllEvents(Events):
    """Tells several listeners, in their order.

    Args:
        listeners: Whom to tell; more may be added to the attribute of this name.
    """

    def __init__(self, listeners: Iterable[Events] = ()):
        self.listeners = list(listeners)

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Passes it on."""
        for listener in self.listeners:
            listener.on_start(
                start_step=start_step, total_steps=total_steps, steps_per_epoch=steps_per_epoch
            )

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Passes it on."""
        for listener in self.listeners:
            listener.on_step(result, stats)

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Passes it on."""
        for listener in self.listeners:
            listener.on_epoch(epoch, step, metrics)

    def on_evaluation_start(self, split: str, num_examples: int) -> None:
        """Passes it on."""
        for listener in self.listeners:
            listener.on_evaluation_start(split, num_examples)

    def on_evaluation_batch(self, num_examples: int) -> None:
        """Passes it on."""
        for listener in self.listeners:
            listener.on_evaluation_batch(num_examples)

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Passes it on."""
        for listener in self.listeners:
            listener.on_evaluation(split, step, metrics, best)

    def on_message(self, text: str) -> None:
        """Passes it on."""
        for listener in self.listeners:
            listener.on_message(text)

    def close(self) -> None:
        """Closes every listener, also when one of them fails."""
        with contextlib.ExitStack() as stack:
            for listener in reversed(self.listeners):
                stack.callback(listener.close)


class HistoryEvents(Events):
    """Writes `history.csv`: one row a step, with the validation metrics where there was one.

    A row is on its way to the disk when its step is done, so that a killed run leaves all of them;
    it is written over, longer, if an evaluation follows the step.

    Args:
        path: The file. One that exists is gone on with, after the step that training starts from.
    """

    def __init__(self, path: Path):
        self._path = path
        self._file: TextIO | None = None
        self._steps_per_epoch = 1
        self._row: dict[str, float | None] = {}
        self._row_start = 0  # where the last row begins in the file

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Opens the file behind the rows of the steps done before."""
        self._steps_per_epoch = steps_per_epoch
        rows = _rows_until(self._path, start_step)
        write_atomically(self._path, _to_csv(rows))
        self._file = self._path.open("r+", encoding="utf-8", newline="")
        self._file.seek(0, os.SEEK_END)
        self._row = rows[-1] if rows else {}
        self._row_start = len(_to_csv(rows[:-1]).encode())

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
        self._write_row()

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Fills the validation columns of the last step's row."""
        if split != "validation" or self._row.get("step") != step:
            return
        self._row |= {f"validation/{name}": metrics.get(name) for name in HEADLINE_METRICS}
        self._file.seek(self._row_start)
        self._write_row()

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            self._file.close()
        self._file, self._row = None, {}

    def _write_row(self) -> None:
        with telling_os_errors(self._path):
            self._file.write(_to_csv([self._row], header=False))
            self._file.flush()


def read_history(path: Path) -> list[dict[str, float | None]]:
    """Reads `history.csv`: one mapping a step, `None` where there was no validation.

    A last line that a killed run left torn is passed over.

    Args:
        path: The file.

    Raises:
        UserError: If it is missing, or a line before the last is damaged.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing.", expected="the history of a run") from error
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


def rewind_history(path: Path, step: int) -> None:
    """Drops the rows after a step, and a torn last line; does nothing if there is no file.

    Args:
        path: The file.
        step: The last step to keep.
    """
    if path.exists():
        write_atomically(path, _to_csv(_rows_until(path, step)))


def _rows_until(path: Path, step: int) -> list[dict[str, float | None]]:
    rows = read_history(path) if path.exists() else []
    return [row for row in rows if row["step"] <= step]


def _number(name: str, cell: str) -> float | None:
    if name == "step":
        return int(cell)
    if name.startswith("validation/") and not cell:
        return None
    return float(cell)


def _to_csv(rows: Sequence[Mapping[str, float | None]], *, header: bool = True) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, HISTORY_COLUMNS, restval="", lineterminator="\n")
    if header:
        writer.writeheader()
    for row in rows:
        # Nine digits hold every float32 exactly.
        writer.writerow({k: f"{v:.9g}" if isinstance(v, float) else v for k, v in row.items()})
    return text.getvalue()
