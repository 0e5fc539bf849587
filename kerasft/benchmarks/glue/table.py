"""The GLUE table: each task's figures and score, and the average of the scores.

A task with several figures is averaged first, then the tasks are (Wang et al., 2018, section 3).
Figures are multiplied by 100, as on the leaderboard.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kerasft.benchmarks.glue.tasks import TASKS, GlueTask, task_of
from kerasft.console import print_lines
from kerasft.metrics.spread import Spread, spread
from kerasft.studies.series import Finished
from kerasft.tables import build_table, print_table

_HEADER = ("task", "metric", "figure", "score", "seeds")
_LEFT_OUT = "wnli"  # by most papers, since its validation split contradicts its train split
_UNDEFINED = "undefined"


class Row(NamedTuple):
    """One task of the table: its figures by title, its score, and its seeds."""

    task: GlueTask
    figures: dict[str, Spread]
    score: Spread
    seeds: tuple[int, ...]


class Table(NamedTuple):
    """The table.

    Attributes:
        rows: The tasks that were run, in the order of the leaderboard.
        average: Mean of the rows' scores, 0 to 100; GLUE's average only if no task is missing.
        average_without_wnli: The same without WNLI, as most papers report it.
        missing: The tasks that were not run.
    """

    rows: tuple[Row, ...]
    average: float
    average_without_wnli: float
    missing: tuple[GlueTask, ...]

    def to_json(self) -> dict[str, object]:
        """Returns plain data; figures between 0 and 100, undefined ones NaN."""
        return {
            "tasks": {row.task.name: _row_json(row) for row in self.rows},
            "average": self.average,
            "average_without_wnli": self.average_without_wnli,
            "missing": [task.name for task in self.missing],
        }


def glue_table(runs: Iterable[Sequence[Finished]]) -> Table:
    """Builds the table of finished runs, given as one non-empty sequence per task."""
    by_task = {task_of(of_task[0].recipe).name: of_task for of_task in runs}
    rows = tuple(_build_row(task, by_task[name]) for name, task in TASKS.items() if name in by_task)
    scores = {row.task.name: row.score.mean for row in rows}
    return Table(
        rows,
        average=_mean(scores.values()),
        average_without_wnli=_mean(s for name, s in scores.items() if name != _LEFT_OUT),
        missing=tuple(task for name, task in TASKS.items() if name not in scores),
    )


def print_glue_table(table: Table) -> None:
    """Prints the table to stdout, with its average if there are several tasks."""
    cells = map(_cells, table.rows)
    print_table(build_table(_HEADER, cells, text_columns=2, wrap=False))
    if len(table.rows) > 1:
        print_lines([describe_average(table)])


def describe_average(table: Table) -> str:
    """Returns the sentence below the table: the average, and over which tasks."""
    without = _percent(table.average_without_wnli)
    if not table.missing:
        return (
            f"Average of the {len(TASKS)} tasks: {_percent(table.average)}; without WNLI, as most "
            f"papers give it: {without}."
        )
    return (
        f"Average of {len(table.rows)} of the {len(TASKS)} tasks: {_percent(table.average)}. It is "
        f"not GLUE's: {', '.join(task.title for task in table.missing)} "
        f"{'is' if len(table.missing) == 1 else 'are'} missing."
    )


def flat_figures(table: Table) -> dict[str, float]:
    """Returns the figures under `<task>/<metric>`, with `_std` for several seeds, and `average`.

    Figures are as in the runs' `metrics.json`; only `average` is multiplied by 100.
    """
    flat: dict[str, float] = {}
    for row in table.rows:
        for metric in row.task.metrics:
            name = f"{row.task.name}/{metric.name}"
            figure = row.figures[metric.title]
            flat[name] = figure.mean / 100
            if figure.std is not None:
                flat[f"{name}_std"] = figure.std / 100
    return flat | {"average": table.average}


def _build_row(task: GlueTask, runs: Sequence[Finished]) -> Row:
    by_metric = {
        metric.title: [_hundredfold(run.metrics[metric.name]) for run in runs]
        for metric in task.metrics
    }
    scores = [_mean(figures) for figures in zip(*by_metric.values(), strict=True)]
    return Row(
        task,
        {title: spread(values) for title, values in by_metric.items()},
        spread(scores),
        tuple(run.seed for run in runs),
    )


def _row_json(row: Row) -> dict[str, object]:
    return {
        "score": row.score._asdict(),
        "metrics": {title: figure._asdict() for title, figure in row.figures.items()},
        "seeds": row.seeds,
    }


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.task.title,
        "\n".join(row.figures),
        "\n".join(_show(figure) for figure in row.figures.values()),
        _show(row.score),
        str(len(row.seeds)),
    )


def _hundredfold(value: float | None) -> float:
    return math.nan if value is None else 100.0 * value


def _mean(values) -> float:
    numbers = list(values)
    return math.fsum(numbers) / len(numbers) if numbers else math.nan


def _show(figure: Spread) -> str:
    if math.isnan(figure.mean) or figure.std is None:
        return _percent(figure.mean)
    return f"{figure.mean:.1f} ± {figure.std:.1f}"


def _percent(value: float) -> str:
    return _UNDEFINED if math.isnan(value) else f"{value:.1f}"
