"""The report of a run: tables for the terminal, and `report.md` for the run directory.

It computes only shares and formats; the caller collects the facts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table
from rich.text import Text

from kerasft.metric import BY_LABEL
from kerasft.metrics.bootstrap import Interval
from kerasft.metrics.calibration import ReliabilityBin
from kerasft.metrics.facts import EvaluationFacts
from kerasft.metrics.spread import is_defined, show_figure
from kerasft.tables import build_table, escape_markdown, markdown_table

_MAX_MATRIX_WIDTH = 80  # a wider matrix would wrap: its largest errors are listed instead
_MAX_CONFUSIONS = 10
_BY_CLASS = (*BY_LABEL, "support")
_Rows = tuple[Sequence[str], list[Sequence[str]]]  # a header and rows of cells


@dataclass(frozen=True)
class DataFacts:
    """The data of a run."""

    source: str  # such as `imdb_reviews/plain_text` or `builtin-sample`
    version: str
    num_examples: Mapping[str, int]  # used, by split
    dropped: Mapping[str, int]  # left out, by reason: {"train, also in test": 123}
    # Source of each evaluated split: {"test": "b.csv"}
    evaluated: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingFacts:
    """The training of a run."""

    steps: int
    seconds: float  # wall time, including evaluations between steps
    examples_per_second: float
    tokens_per_second: float  # real tokens, without padding
    padding_share: float  # of the computed tokens, 0 to 1
    idle_share: float  # of the replicas' time, waiting for the busiest one
    monitor: str  # the metric that chose the checkpoint, such as `validation/accuracy`
    best_step: int
    best_value: float  # of `monitor` at `best_step`
    dtype_policy: str  # as resolved: `float32`, `mixed_bfloat16`
    device: str  # such as `CPU (2 cores)`
    compile_seconds: float = 0.0  # in steps that XLA compiled first; 0 without XLA


@dataclass(frozen=True)
class ReportFacts:
    """The content of `report.md`."""

    title: str
    recipe: str
    preset: str
    data: DataFacts
    training: TrainingFacts
    evaluation: EvaluationFacts
    environment: Mapping[str, object]  # a nested mapping becomes one row per entry
    overridden: Sequence[str] = ()  # settings from the command line: "training.epochs=1"
    commands: Sequence[str] = ()  # shell lines that use the exported model, if there is one


def evaluation_table(
    metrics: Mapping[str, float], label_names: Sequence[str], intervals: Mapping[str, Interval]
) -> Table:
    """Builds the terminal's table: overall metrics, then one row per class or label.

    Args:
        metrics: As `EvaluationFacts.metrics`. An undefined one shows as a dash.
        label_names: In label order; empty for regression.
        intervals: Bootstrap intervals by metric, all of one confidence level; may be empty.
    """
    header, rows = _headline_rows(metrics, intervals)
    if not label_names:
        return build_table(header, rows)
    class_header, by_class = _class_rows(metrics, label_names)
    blanks = [""] * (len(class_header) - len(header))
    table = build_table([*header, *blanks], rows)
    table.add_section()
    table.add_row(*(Text(name, style="bold") for name in class_header), end_section=True)
    for row in by_class:
        table.add_row(*map(Text, row))
    return table


def confusion_table(confusion: np.ndarray, label_names: Sequence[str]) -> Table:
    """Builds the terminal's confusion matrix, or a list of its largest errors beyond 80 columns.

    Args:
        confusion: Counts `(num_classes, num_classes)`: rows true, columns predicted.
        label_names: In label order.
    """
    return build_table(*_confusion_rows(confusion, label_names))


def render_report(facts: ReportFacts) -> str:
    """Renders `report.md`, readable as plain text and on GitHub."""
    sections = [
        f"# {escape_markdown(facts.title)}",
        _headline(facts.evaluation),
        markdown_table(("", ""), _setup_rows(facts), numeric=False),
        *_evaluation_sections(facts.evaluation),
        "## Data",
        markdown_table(*_data_rows(facts.data)),
        "## Training",
        markdown_table(("", ""), _training_rows(facts.training), numeric=False),
        "## Environment",
        markdown_table(("", ""), list(_flat(facts.environment)), numeric=False),
    ]
    if facts.commands:
        sections += ["## Use the model", "\n".join(["```sh", *facts.commands, "```"])]
    return "\n\n".join(sections) + "\n"


def _evaluation_sections(evaluation: EvaluationFacts) -> list[str]:
    """Returns the metrics; only with the sections that the task supports."""
    sections = [
        "## Metrics",
        markdown_table(*_headline_rows(evaluation.metrics, evaluation.intervals)),
    ]
    if evaluation.label_names:
        rows = _class_rows(evaluation.metrics, evaluation.label_names)
        sections += [f"## By {rows[0][0]}", markdown_table(*rows)]
    sections += [f"- {escape_markdown(note)}" for note in evaluation.notes]
    if evaluation.confusion is not None:
        rows = _confusion_rows(evaluation.confusion, evaluation.label_names)
        sections += ["## Confusion matrix", markdown_table(*rows)]
    if evaluation.bins:
        sections += [
            "## Calibration",
            "How often predictions of a given confidence were right; a negative gap is "
            "overconfidence. Bins without examples are left out.",
            markdown_table(*_bin_rows(evaluation.bins)),
        ]
    return sections


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
        *_evaluated_row(facts.data.evaluated),
    ]


def _evaluated_row(evaluated: Mapping[str, str]) -> list[Sequence[str]]:
    tests = [name for split, name in evaluated.items() if split != "validation"]
    if tests:
        return [["tested on", " and ".join(tests)]]
    return [["validated on", name] for name in evaluated.values()]


def _training_rows(training: TrainingFacts) -> list[Sequence[str]]:
    compiling = [["of it compiling", f"{training.compile_seconds:,.1f} s"]]
    return [
        ["steps", f"{training.steps:,}"],
        ["time", f"{_duration(training.seconds)} ({training.seconds:,.1f} s)"],
        *(compiling if training.compile_seconds else []),
        ["examples/s", f"{training.examples_per_second:,.1f}"],
        ["tokens/s", f"{training.tokens_per_second:,.0f}"],
        ["padding share", f"{training.padding_share:.1%}"],
        ["idle share", f"{training.idle_share:.1%}"],
        [
            "best step",
            f"{training.best_step:,} ({training.monitor} {show_figure(training.best_value)})",
        ],
        ["dtype policy", training.dtype_policy],
        ["device", training.device],
    ]


def _headline(evaluation: EvaluationFacts) -> str:
    name = evaluation.headline
    text = f"**{escape_markdown(name)} {show_figure(evaluation.metrics.get(name))}**"
    if interval := evaluation.intervals.get(name):
        text += f" ({_level(interval)} {_ends(interval)})"
    return f"{text} on {evaluation.num_examples:,} {evaluation.split} examples."


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


def _headline_rows(metrics: Mapping[str, float], intervals: Mapping[str, Interval]) -> _Rows:
    """Returns a row per overall metric, and per class metric with an interval."""
    header = ["metric", "value", *(_level(i) for i in list(intervals.values())[:1])]
    shown = [name for name in metrics if "/" not in name or name in intervals]
    rows = [[name, show_figure(metrics[name])] for name in shown]
    if intervals:
        rows = [[*row, _ends(intervals[row[0]]) if row[0] in intervals else ""] for row in rows]
    return header, rows


def _level(interval: Interval) -> str:
    return f"{interval.confidence_level * 100:g} % interval"


def _ends(interval: Interval) -> str:
    return f"{show_figure(interval.lower)} - {show_figure(interval.upper)}"


def _class_rows(metrics: Mapping[str, float], label_names: Sequence[str]) -> _Rows:
    """Returns a row per class or label; a missing or undefined metric is a dash."""
    # Labels decided one by one have a threshold each.
    have_thresholds = any(f"threshold/{name}" in metrics for name in label_names)
    columns = (*_BY_CLASS, "threshold") if have_thresholds else _BY_CLASS

    def shown(column: str, name: str) -> str:
        value = metrics.get(f"{column}/{name}")
        if not is_defined(value):
            return "-"
        return f"{value:,.0f}" if column == "support" else show_figure(value)

    return ["label" if have_thresholds else "class", *columns], [
        [name, *(shown(column, name) for column in columns)] for name in label_names
    ]


def _confusion_rows(confusion: np.ndarray, label_names: Sequence[str]) -> _Rows:
    confusion, num_classes = np.asarray(confusion), len(label_names)
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
