"""What is printed after a run: metrics, locations and next steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from kerasft.console import predict_command, print_lines, tensorboard_command
from kerasft.metrics.spread import Spread, show_figure
from kerasft.run_dir.result import Run
from kerasft.studies.series import Finished
from kerasft.tables import build_table, print_table

_CONFIDENCE_LEVEL = 0.95  # of the intervals in metrics.json
_TEST, _VALIDATION = "test", "validation"


def print_run(run: Run) -> None:
    """Prints a finished run to stdout: metrics, locations, next steps."""
    lines = [f"run        {run.path}", f"report     {run.path / 'report.md'}"]
    commands = [tensorboard_command(run.path.parent)]
    if run.saved_model is not None:
        lines.append(f"model      {run.saved_model}")
        commands.insert(0, predict_command(run.saved_model.parent, has_pairs=run.has_pairs))
    tested = _tested_splits(run.metrics)
    shown = tested or [_VALIDATION]
    for split in shown:
        if len(tested) > 1:
            print_lines(["", f"{split}:"])
        print_metrics(run.metrics, split)
    print_confusion(run)
    measured = "Tested" if tested else "No test split: validated"
    data = " and ".join(dict.fromkeys(run.evaluation_data.get(split, run.data) for split in shown))
    print_lines([*run.notes, f"{measured} on {data}, with the preset {run.preset}.", *lines])
    print_lines(["", "Next:", *(f"  {command}" for command in commands)])


def print_seeds(runs: Sequence[Finished], figures: Mapping[str, Spread], model: str | None) -> None:
    """Prints a recipe's metrics over several seeds: of the test splits, or of validation.

    `figures` are the metrics over the seeds; `model` is `None` if export is off.
    """
    tested = {name: f for name, f in figures.items() if not name.startswith(f"{_VALIDATION}/")}
    rows = []
    for name, figure in (tested or figures).items():
        # "undefined" for each seed does not fit into 80 columns.
        further = (math.nan if x is None else x for x in (figure.std, *figure.values))
        cells = ("" if math.isnan(x) else show_figure(x) for x in further)
        rows.append([name, show_figure(figure.mean), *cells])
    header = ["metric", "mean", "± std", *(f"seed {run.seed}" for run in runs)]
    print_table(build_table(header, rows, wrap=False))
    print_lines([f"runs       {runs[0].run_dir.path.parent}"])
    print_lines([] if model is None else [f"model      {model}"])


def print_metrics(metrics: Mapping[str, float], split: str) -> None:
    """Prints one split's metrics as a table to stdout; `metrics` may include other splits."""
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
    # Every label has a support, even without an F1; regression has no labels.
    label_names = [name.removeprefix("support/") for name in shown if name.startswith("support/")]
    print_table(evaluation_table(shown, label_names, intervals))


def print_confusion(run: Run) -> None:
    """Prints the confusion matrix to stdout; nothing for a task without classes."""
    if run.confusion is None:
        return
    from kerasft.evaluation.report import confusion_table

    print_table(confusion_table(run.confusion, run.label_names))


def _tested_splits(metrics: Mapping[str, float]) -> list[str]:
    splits = dict.fromkeys(name.partition("/")[0] for name in metrics)
    return [split for split in splits if split == _TEST or split.startswith(f"{_TEST}_")]
