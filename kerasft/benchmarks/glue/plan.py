"""What a command line of GLUE asks for, read and checked before TensorFlow is imported."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

from kerasft.benchmarks.glue.tasks import ALL_TASKS, TASKS, find_tasks, task_of
from kerasft.errors import UserError
from kerasft.recipe import Recipe, load_recipe
from kerasft.runs import arguments as run_arguments
from kerasft.runs.resume import NOTHING, Resumed
from kerasft.studies.series import (
    Series,
    check_seeds,
    is_series,
    latest_series,
    open_named_series,
    refuse_seed,
)

COMMAND = "python -m kerasft.pipelines.glue"
SERIES = "glue"  # of the folders of several runs: runs/glue-20261124-103000


class Plan(NamedTuple):
    """What a command line asks for: one run, or the runs of a series.

    Attributes:
        recipes: One for each task.
        resumed: What to go on with, of one run.
        series: The series to go on with, of several.
        several: Whether the runs belong into the folder of a series.
    """

    recipes: Sequence[Recipe]
    resumed: Resumed = NOTHING
    series: Series | None = None
    several: bool = False


def build_parser() -> argparse.ArgumentParser:
    """Builds the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Runs tasks of GLUE: data, training, evaluation, export, leaderboard files.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--task", metavar="TASK", help=f"{', '.join(TASKS)}, several with commas, or {ALL_TASKS}"
    )
    parser.add_argument(
        "--recipe", metavar="NAME_OR_FILE", help='a recipe of a GLUE task; else "glue_<task>"'
    )
    parser.add_argument(
        "--submission", metavar="FOLDER", help="write the leaderboard's files and submission.zip"
    )
    run_arguments.add_run_arguments(parser)
    parser.set_defaults(usual_recipe="glue_mrpc")
    return parser


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Reads the arguments, and all recipes that they name.

    Args:
        arguments: Of `build_parser`.

    Raises:
        UserError: For a mistake in them or in a recipe, or if there is nothing to resume.
    """
    names = _check(arguments)
    seeds, resume = arguments.seeds, arguments.resume
    if isinstance(resume, str) and is_series(resume):
        run_arguments.refuse_overrides(arguments)
        series = open_named_series(resume, names, seeds)
        return Plan(series.recipes, series=series, several=True)
    if seeds is None and len(names) < 2:
        arguments.recipe = names[0] if names else None
        recipe, resumed = run_arguments.choose_run(arguments, usual_recipe=None)
        task_of(recipe)
        return Plan([recipe], resumed=resumed)
    if resume is not None:
        run_arguments.refuse_overrides(arguments)
    if isinstance(resume, str):
        raise UserError(
            "The folder is not that of several runs.",
            received=resume,
            expected=f"a folder runs/{SERIES}-..., or --resume without a value",
        )
    recipes = [load_recipe(name, arguments.overrides) for name in names]
    for recipe in recipes:
        task_of(recipe)
        refuse_seed(recipe, seeds)
    series = None if resume is None else latest_series(SERIES, recipes, seeds)
    return Plan(series.recipes if series else recipes, series=series, several=True)


def _check(arguments: argparse.Namespace) -> list[str]:
    """Returns the names of the recipes to run; none where the folder to resume says it."""
    check_seeds(arguments.seeds)
    if arguments.recipe is not None:
        if arguments.task is not None:
            raise UserError(
                "--task and --recipe both say what to run.",
                received=f"--task {arguments.task} --recipe {arguments.recipe}",
                fix="give one of them.",
            )
        return [arguments.recipe]
    if arguments.task is not None:
        return [task.recipe for task in find_tasks(arguments.task)]
    if isinstance(arguments.resume, str):
        return []
    raise UserError(
        "Which task of GLUE?",
        expected=f"--task with one of {', '.join(TASKS)}, or {ALL_TASKS}",
        fix=f"{COMMAND} --task mrpc",
    )
