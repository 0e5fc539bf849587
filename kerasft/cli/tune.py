"""`kerasft tune`: a hyperparameter search on validation; the test set is evaluated once."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerasft.cli import command_parser
from kerasft.console import log, print_json, print_lines, program, results_only
from kerasft.metric import rank
from kerasft.metrics.spread import show_figure
from kerasft.recipe import load_recipe
from kerasft.runs.arguments import LATEST, add_recipe
from kerasft.studies.tuning.budget import write_time
from kerasft.studies.tuning.plan import (
    BASE,
    RESULT,
    USUAL_FINALS,
    USUAL_TRIALS,
    join_plan,
    make_plan,
)
from kerasft.studies.tuning.space import METHODS, show_value
from kerasft.tables import build_table, print_table

if TYPE_CHECKING:
    from rich.table import Table

    from kerasft.run_dir import RunDir
    from kerasft.studies.tuning.report import Found


def main(argv: Sequence[str]) -> None:
    """Searches settings of a recipe and prints the result."""
    arguments = _build_parser().parse_intermixed_args(argv)
    if arguments.join is not None:
        joined = join_plan(arguments)
        with results_only():
            from kerasft.studies.tuning.searching import join

            join(joined, log=log)
        return
    plan = make_plan(arguments)
    with results_only():
        from kerasft.studies.tuning.study import run_study

        found, folder = run_study(plan, log=log)
    if arguments.json:
        print_json(folder.read_json(RESULT))
    else:
        _print(found, folder, [dimension.name for dimension in plan.recipe.tuning])


def _build_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "tune",
        "Every trial is a run of its own, measured on validation. The space is the recipe's "
        "[tuning]; settings that are given here are held fixed.",
    )
    add_recipe(parser)
    parser.add_argument("--method", help=f"{', '.join(METHODS)} ({METHODS[0]})")
    parser.add_argument(
        "--trials",
        type=int,
        metavar="N",
        help=f"how many ({USUAL_TRIALS}; a grid and hyperband: all of theirs)",
    )
    parser.add_argument(
        "--budget", metavar="TIME", help="time for all of it, finals included: 2h, 1h30m, 45m"
    )
    parser.add_argument(
        "--finalists",
        type=int,
        metavar="N",
        help=f"so many of the best run again with new seeds ({USUAL_FINALS.finalists})",
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help=f"how many new seeds ({USUAL_FINALS.seeds})"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="trials side by side (1)")
    parser.add_argument(
        "--no-pruning",
        dest="pruning",
        action="store_false",
        help="run trials to their end that lag behind the median of the finished ones",
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const=LATEST,
        metavar="FOLDER",
        help="resume a search whose winner was not tested; without a value, the recipe's latest",
    )
    parser.add_argument(
        "--join",
        metavar="FOLDER",
        help="run trials of a search that another machine leads, over KerasTuner's service",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="settings held fixed in all runs"
    )
    return parser


def _print(found: Found, folder: RunDir, names: Sequence[str]) -> None:
    from kerasft.studies.tuning.report import BEST, TABLE

    print_table(_trial_table(folder, found, names))
    outcomes = [(trial.job, trial.outcome) for trial in found.tried]
    print_lines([f"{job} {o.status}: {o.reason}" for job, o in outcomes if o.reason])
    if found.finalists:
        print_table(_finalist_table(found))
    print_lines(["", found.ending.message, found.conclusion, _line_on_test(found)])
    print_lines(["", f"trials     {folder.path / TABLE}"])
    best = folder.path / BEST
    commands = [f"{program('tensorboard')} --logdir {shlex.quote(str(folder.path))}"]
    if found.winner is not None:
        print_lines([f"best       {best}"])
        commands.insert(0, f"{program('kerasft')} run {shlex.quote(str(best))}")
    print_lines(["", "Next:", *(f"  {command}" for command in commands)])


def _trial_table(folder: RunDir, found: Found, names: Sequence[str]) -> Table:
    """Returns the table of trials, best first."""
    own = load_recipe(folder.path / BASE).values()
    metric = found.metric
    ranked = sorted(found.tried, key=lambda t: rank(metric, t.outcome.value, None), reverse=True)
    epochs = ["epochs"] if any(trial.epochs for trial in ranked) else []  # of Hyperband
    settings = [name.partition(".")[2] for name in names]
    header = ["trial", metric.partition("/")[2], *settings, *epochs, "time", "status"]
    rows = []
    for trial in ranked:
        value = "" if trial.outcome.value is None else f"{trial.outcome.value:.4f}"
        values = [trial.values.get(name, own[name]) for name in names]
        cells = ["" if v is None else show_value(v) for v in values]
        cells += [str(trial.epochs or "") for _ in epochs]
        ends = [write_time(trial.outcome.seconds), trial.outcome.status]
        rows.append([trial.job, value, *cells, *ends])
    return build_table(header, rows)


def _finalist_table(found: Found) -> Table:
    rows = []
    for finalist in found.finalists:
        mean, std, values = finalist.figure
        spread = "" if std is None else show_figure(std)
        seeds = " ".join(map(show_figure, values))
        rows.append([finalist.job, show_figure(mean), spread, seeds])
    metric = found.metric.partition("/")[2]
    return build_table(["finalist", f"mean {metric}", "± std", "new seeds"], rows)


def _line_on_test(found: Found) -> str:
    """Returns a line on the winner's test, or on why there was none."""
    if found.untested:
        return f"Not tested: {found.untested}."
    name = f"test/{found.metric.partition('/')[2]}"
    if name not in found.test:
        return f"Tested once: {RESULT} has the metrics."
    return f"Tested once: {name} {show_figure(found.test[name])}."
