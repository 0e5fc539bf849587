"""What people read when a run is over: its metrics, where everything is, what to do next."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kerasft.console import predict_command, program

if TYPE_CHECKING:
    from kerasft.runs.result import Run

_CONFIDENCE_LEVEL = 0.95  # of the intervals in metrics.json
_TEST, _VALIDATION = "test", "validation"


def print_run(run: Run) -> None:
    """Prints a finished run to stdout: metrics, where everything is, what to do next."""
    lines = [f"run        {run.path}", f"report     {run.path / 'report.md'}"]
    commands = [f"{program('tensorboard')} --logdir {shlex.quote(str(run.path.parent))}"]
    if run.saved_model is not None:
        lines.append(f"model      {run.saved_model}")
        commands.insert(0, predict_command(run.saved_model.parent, has_pairs=run.has_pairs))
    tested = _tested_splits(run.metrics)
    shown = tested or [_VALIDATION]
    for split in shown:
        if len(tested) > 1:
            _print_lines(["", f"{split}:"])
        print_metrics(run.metrics, split)
    print_confusion(run)
    measured = "Tested" if tested else "No test split: validated"
    data = " and ".join(dict.fromkeys(run.evaluation_data.get(split, run.data) for split in shown))
    _print_lines([*run.notes, f"{measured} on {data}, with the preset {run.preset}.", *lines])
    _print_lines(["", "Next:", *(f"  {command}" for command in commands)])


def print_metrics(metrics: Mapping[str, float], split: str) -> None:
    """Prints the table of one split's metrics to stdout.

    Args:
        metrics: Flat metrics, `<split>/<metric>`; of other splits, too.
        split: Which to show.
    """
    from rich.console import Console

    from kerasft.evaluation.report import evaluation_table
    from kerasft.metrics.bootstrap import Interval

    prefix = f"{split}/"
    shown = {
        name.removeprefix(prefix): value
        for name, value in metrics.items()
        if name.startswith(prefix)
    }
    bounded = [name for name in shown if {f"{name}_lower", f"{name}_upper"} <= shown.keys()]
    intervals = {
        name: Interval(
            shown[name], shown.pop(f"{name}_lower"), shown.pop(f"{name}_upper"), _CONFIDENCE_LEVEL
        )
        for name in bounded
    }
    # Every label has a support, also one without F1, and numbers have no labels at all.
    label_names = [name.removeprefix("support/") for name in shown if name.startswith("support/")]
    Console(file=sys.stdout).print(evaluation_table(shown, label_names, intervals))


def print_confusion(run: Run) -> None:
    """Prints how often each class was taken for which, to stdout; nothing without classes."""
    if run.confusion is None:
        return
    from rich.console import Console

    from kerasft.evaluation.report import confusion_table

    Console(file=sys.stdout).print(confusion_table(run.confusion, run.label_names))


def _tested_splits(metrics: Mapping[str, float]) -> list[str]:
    splits = dict.fromkeys(name.partition("/")[0] for name in metrics)
    return [split for split in splits if split == _TEST or split.startswith(f"{_TEST}_")]


def _print_lines(lines: Sequence[str]) -> None:
    # Not through rich, which would wrap a path or a command at the terminal's edge.
    sys.stdout.write("\n".join(lines) + "\n")
