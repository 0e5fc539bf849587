"""`kerasft tune`: a hyperparameter search on validation; the test set is evaluated once."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerasft.cli import command_parser
from kerasft.console import log, print_json, print_lines, program, results_only
from kerasft.runs.arguments import LATEST, add_recipe
from kerasft.studies.tuning.plan import RESULT, USUAL_FINALS, USUAL_TRIALS, join_plan, make_plan
from kerasft.studies.tuning.space import METHODS
from kerasft.tables import build_table, print_table

if TYPE_CHECKING:
    from kerasft.run_dir import RunDir
    from kerasft.studies.tuning.found import Found


def main(argv: Sequence[str]) -> None:
    """Searches settings of a recipe and prints the result."""
    arguments = _build_parser().parse_intermixed_args(argv)
    if arguments.join is not None:
        joined = join_plan(arguments)
        with results_only():
            from kerasft.studies.tuning.running import join

            join(joined, log=log)
        return
    plan = make_plan(arguments)
    with results_only():
        from kerasft.studies.tuning.running import run_study

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
    from kerasft.studies.tuning.report import (
        BEST,
        TABLE,
        failures,
        finalist_rows,
        line_on_test,
        table_rows,
    )

    print_table(build_table(*table_rows(folder, found, names)))
    print_lines(failures(found))
    if found.finalists:
        print_table(build_table(*finalist_rows(found)))
    print_lines(["", found.ending.message, found.conclusion, line_on_test(found)])
    print_lines(["", f"trials     {folder.path / TABLE}"])
    best = folder.path / BEST
    commands = [f"{program('tensorboard')} --logdir {shlex.quote(str(folder.path))}"]
    if found.winner is not None:
        print_lines([f"best       {best}"])
        commands.insert(0, f"{program('kerasft')} run {shlex.quote(str(best))}")
    print_lines(["", "Next:", *(f"  {command}" for command in commands)])
