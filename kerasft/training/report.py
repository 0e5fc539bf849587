"""What a run tells its reader: tables for the terminal, and `report.md` for the run directory.

Nothing is computed here but shares and formats; the caller gathers the facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from kerasft.metrics.bootstrap import Interval
from kerasft.metrics.calibration import ReliabilityBin

_MAX_MATRIX_WIDTH = 80  # a wider confusion matrix would wrap: its largest errors are listed instead
_MAX_CONFUSIONS = 10
_PER_CLASS = ("precision", "recall", "f1", "support")
_ABSENT = "-"
_Rows = tuple[Sequence[str], list[Sequence[str]]]  # a header and rows of cells, for either medium
_MARKDOWN_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\|<*`[]"} | {"\n": " ", "\r": " "})


@dataclass(frozen=True)
class DataFacts:
    """What was read."""

    source: str  # such as `imdb_reviews/plain_text` or `builtin-sample`
    version: str
    num_examples: Mapping[str, int]  # used, by split
    dropped: Mapping[str, int]  # left out, by reason: {"also in test": 123}


@dataclass(frozen=True)
class TrainingFacts:
    """How training went."""

    steps: int
    seconds: float  # wall time, with the evaluations between the steps
    examples_per_second: float
    tokens_per_second: float  # real ones, without padding
    padding_share: float  # of the tokens computed, 0 to 1
    monitor: str  # the metric that chose the checkpoint, such as `validation/accuracy`
    best_step: int
    best_value: float  # what `monitor` was at `best_step`
    dtype_policy: str  # as resolved: `float32`, `mixed_bfloat16`
    device: str  # such as `CPU (2 cores)`


@dataclass(frozen=True)
class EvaluationFacts:
    """How good the chosen checkpoint is on one split, as `kerasft.metrics` computed it."""

    split: str  # `test` or `validation`
    label_names: Sequence[str]  # in the order of the class indices
    metrics: Mapping[str, float]  # from `classification_metrics`: keys without the split
    intervals: Mapping[
        str, Interval
    ]  # by metric, of one confidence level; the first opens the report
    confusion: np.ndarray  # from `confusion`: rows true, columns predicted
    bins: Sequence[ReliabilityBin]  # from `reliability_bins`
    notes: Sequence[str] = ()  # from `classification_notes`


@dataclass(frozen=True)
class ReportFacts:
    """Everything `report.md` says."""

    title: str
    recipe: str
    preset: str
    data: DataFacts
    training: TrainingFacts
    evaluation: EvaluationFacts
    environment: Mapping[str, object]  # a nested mapping becomes one row an entry
    overridden: Sequence[str] = ()  # settings from the command line: "training.epochs=1"
    commands: Sequence[str] = ()  # shell lines that use the exported model, if there is one


def evaluation_table(
    metrics: Mapping[str, float], label_names: Sequence[str], intervals: Mapping[str, Interval]
) -> Table:
    """Builds the terminal's table: the headline metrics, then one row a class.

    Args:
        metrics: As `EvaluationFacts.metrics`. A class without a metric shows a dash.
        label_names: The classes, in the order of their indices.
        intervals: Bootstrap intervals by metric, all of one confidence level; may be empty.
    """
    header, rows = _headline_rows(metrics, intervals)
    class_header, class_rows = _class_rows(metrics, label_names)
    blanks = [""] * (len(class_header) - len(header))
    table = _terminal_table([*header, *blanks], rows)
    table.add_section()
    table.add_row(*(Text(name, style="bold") for name in class_header), end_section=True)
    for row in class_rows:
        table.add_row(*map(Text, row))
    return table


def confusion_table(confusion: np.ndarray, label_names: Sequence[str]) -> Table:
    """Builds the terminal's confusion matrix; too wide for 80 columns, its largest errors."""
    return _terminal_table(*_confusion_rows(confusion, label_names))


def render_report(facts: ReportFacts) -> str:
    """Renders `report.md`: readable as it stands, and as GitHub shows it."""
    evaluation = facts.evaluation
    sections = [
        f"# {_cell(facts.title)}",
        _headline(evaluation),
        _markdown_table(("", ""), _setup_rows(facts), numeric=False),
        "## Metrics",
        _markdown_table(*_headline_rows(evaluation.metrics, evaluation.intervals)),
        "## By class",
        _markdown_table(*_class_rows(evaluation.metrics, evaluation.label_names)),
        *(f"- {_cell(note)}" for note in evaluation.notes),
        "## Confusion matrix",
        _markdown_table(*_confusion_rows(evaluation.confusion, evaluation.label_names)),
        "## Calibration",
        "How often predictions of a given confidence were right; a negative gap is overconfidence. "
        "Bins without examples are left out.",
        _markdown_table(*_bin_rows(evaluation.bins)),
        "## Data",
        _markdown_table(*_data_rows(facts.data)),
        "## Training",
        _markdown_table(("", ""), _training_rows(facts.training), numeric=False),
        "## Environment",
        _markdown_table(("", ""), list(_flat(facts.environment)), numeric=False),
    ]
    if facts.commands:
        sections += ["## Use the model", "\n".join(["```sh", *facts.commands, "```"])]
    return "\n\n".join(sections) + "\n"


def _headline_rows(metrics: Mapping[str, float], intervals: Mapping[str, Interval]) -> _Rows:
    header = ["metric", "value", *(_level(i) for i in list(intervals.values())[:1])]
    rows = [[name, f"{value:.4f}"] for name, value in metrics.items() if "/" not in name]
    if intervals:
        rows = [[*row, _ends(intervals[row[0]]) if row[0] in intervals else ""] for row in rows]
    return header, rows


def _level(interval: Interval) -> str:
    return f"{interval.confidence_level * 100:g} % interval"


def _ends(interval: Interval) -> str:
    return f"{interval.lower:.4f} - {interval.upper:.4f}"


def _class_rows(metrics: Mapping[str, float], label_names: Sequence[str]) -> _Rows:
    def shown(metric: str, name: str) -> str:
        value = metrics.get(f"{metric}/{name}")
        if value is None:
            return _ABSENT
        return f"{value:,.0f}" if metric == "support" else f"{value:.4f}"

    return ["class", *_PER_CLASS], [
        [name, *(shown(metric, name) for metric in _PER_CLASS)] for name in label_names
    ]


def _confusion_rows(confusion: np.ndarray, label_names: Sequence[str]) -> _Rows:
    confusion = np.asarray(confusion)
    num_classes = len(label_names)
    if confusion.shape != (num_classes, num_classes):
        raise ValueError(
            f"`confusion` does not fit the classes. Received: shape {confusion.shape}. "
            f"Expected: {(num_classes, num_classes)}, one row and column a label name."
        )
    header = ["true / predicted", *label_names]
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(label_names, confusion, strict=True)
    ]
    widths = [max(map(len, column)) + 3 for column in zip(header, *rows, strict=True)]
    if sum(widths) <= _MAX_MATRIX_WIDTH:
        return header, rows
    return _largest_errors(confusion, label_names)


def _largest_errors(confusion: np.ndarray, label_names: Sequence[str]) -> _Rows:
    errors = confusion - np.diag(np.diag(confusion))
    largest = np.argsort(-errors, axis=None, kind="stable")[:_MAX_CONFUSIONS]
    cells = zip(*np.unravel_index(largest, errors.shape), strict=True)
    return ["true class", "predicted class", "errors", "share of class"], [
        [
            label_names[true],
            label_names[predicted],
            f"{errors[true, predicted]:,}",
            f"{errors[true, predicted] / confusion[true].sum():.1%}",
        ]
        for true, predicted in cells
        if errors[true, predicted]
    ]


def _bin_rows(bins: Sequence[ReliabilityBin]) -> _Rows:
    return ["confidence above", "up to", "examples", "mean confidence", "accuracy", "gap"], [
        [
            f"{b.lower:.3f}",
            f"{b.upper:.3f}",
            f"{b.num_examples:,}",
            f"{b.confidence:.4f}",
            f"{b.accuracy:.4f}",
            f"{b.accuracy - b.confidence:+.4f}",
        ]
        for b in bins
        if b.num_examples
    ]


def _data_rows(data: DataFacts) -> _Rows:
    used = [[split, f"{count:,}"] for split, count in data.num_examples.items()]
    dropped = [[f"left out: {why}", f"{count:,}"] for why, count in data.dropped.items()]
    return ["split", "examples"], [*used, *(dropped or [["left out", "0"]])]


def _setup_rows(facts: ReportFacts) -> list[Sequence[str]]:
    overridden = [["set by hand", ", ".join(facts.overridden)]] if facts.overridden else []
    return [
        ["recipe", facts.recipe],
        *overridden,
        ["preset", facts.preset],
        ["data", f"{facts.data.source} {facts.data.version}"],
    ]


def _training_rows(training: TrainingFacts) -> list[Sequence[str]]:
    return [
        ["steps", f"{training.steps:,}"],
        ["time", f"{_duration(training.seconds)} ({training.seconds:,.1f} s)"],
        ["examples/s", f"{training.examples_per_second:,.1f}"],
        ["tokens/s", f"{training.tokens_per_second:,.0f}"],
        ["padding share", f"{training.padding_share:.1%}"],
        ["best step", f"{training.best_step:,} ({training.monitor} {training.best_value:.4f})"],
        ["dtype policy", training.dtype_policy],
        ["device", training.device],
    ]


def _headline(evaluation: EvaluationFacts) -> str:
    name = next(iter(evaluation.intervals), "accuracy")
    text = f"**{name} {evaluation.metrics[name]:.4f}**"
    if interval := evaluation.intervals.get(name):
        text += f" ({_level(interval)} {_ends(interval)})"
    return f"{text} on {int(np.sum(evaluation.confusion)):,} {evaluation.split} examples."


def _duration(seconds: float) -> str:
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole_seconds} s" if minutes else f"{whole_seconds} s"


def _flat(facts: Mapping[str, object], prefix: str = "") -> Iterable[Sequence[str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        else:
            words = value if isinstance(value, list | tuple) else [value]
            yield [f"{prefix}{name}", " ".join(map(str, words))]


def _terminal_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    # Cells are Text, never str: a label called "[red]" is a label and not markup.
    table = Table(box=box.HORIZONTALS)
    for index, name in enumerate(header):
        table.add_column(Text(name), justify="right" if index else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _cell(text: str) -> str:
    return text.translate(_MARKDOWN_SPECIAL)


def _markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: bool = True
) -> str:
    """Aligns the columns in the text itself, numbers to the right, for those who read it raw."""
    lines = [[_cell(cell) for cell in line] for line in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    sides = ["<", *(">" if numeric else "<") * (len(widths) - 1)]
    rule = [
        "-" * (w - 1) + (":" if side == ">" else "-") for w, side in zip(widths, sides, strict=True)
    ]
    return "\n".join(
        f"| {' | '.join(f'{c:{s}{w}}' for c, s, w in zip(line, sides, widths, strict=True))} |"
        for line in (lines[0], rule, *lines[1:])
    )
