"""The command line of GLUE: runs tasks, prints the table, writes the leaderboard's files."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path

from kerasft.benchmarks.glue.table import glue_table, print_glue_table
from kerasft.benchmarks.glue.tasks import ALL_TASKS, TASKS, find_tasks, task_of
from kerasft.cli.printing import print_run
from kerasft.cli.run_command import run_one
from kerasft.cli.series_arguments import choose_series, reporting_to, wants_series
from kerasft.console import log, print_json, print_lines, results_only
from kerasft.errors import UserError
from kerasft.recipe import Recipe, load_recipe
from kerasft.run_dir.result import Run
from kerasft.runs.arguments import add_run_arguments, choose_run
from kerasft.runs.resume import Resumed
from kerasft.runs.terminal import build_progress
from kerasft.studies.seeds import Found, run_seeds
from kerasft.studies.series import Series, read_finished, refuse_seed

_COMMAND = "python -m kerasft.pipelines.glue"
_SERIES = "glue"  # folder prefix of several runs: runs/glue-20261124-103000


def run_glue(argv: Sequence[str] | None = None) -> None:
    """Runs one or several tasks with one or several seeds, and prints the results.

    `argv=None` means the arguments of the process.
    """
    arguments = _build_parser().parse_intermixed_args(argv)
    names = _recipe_names(arguments)
    if wants_series(arguments, len(names)):
        series = choose_series(arguments, _SERIES, names, lambda: _plan(arguments, names))
        recipes, start = series.recipes, functools.partial(_run_series, arguments, series)
    else:
        arguments.recipe = names[0] if names else None
        recipe, resumed = choose_run(arguments, usual_recipe=None)
        recipes, start = (recipe,), functools.partial(_run_one, arguments, recipe, resumed)
    tasks = [task_of(recipe) for recipe in recipes]
    folder = None if arguments.submission is None else Path(arguments.submission)
    with results_only():
        # Imports TensorFlow, hence only after the recipes are validated.
        from kerasft.benchmarks.glue import running, submission

        notes = running.check_data(recipes, log)
        if folder is not None:
            submission.prepare_folder(folder)
            for task, recipe in zip(tasks, recipes, strict=True):
                submission.find_test_data(task, recipe.data.data_dir, log)
        found, shown, run = start()
        if found is None:
            return  # the chief reports it
        written = None
        if folder is not None:
            progress = [build_progress(plain=arguments.json)]
            written = submission.write_submission(found.best.values(), folder, progress, log)
    table = glue_table(found.runs.values())
    if arguments.json:
        files = None if written is None else written._asdict()
        print_json(shown | {"table": table.to_json(), "notes": notes, "submission": files})
        return
    if run is not None:
        print_run(run)
    print_glue_table(table)
    print_lines([*notes, *(f"model      {model}" for model in found.models.values())])
    if written is not None and written.archive is not None:
        print_lines([f"submission {written.archive}"])


def _run_one(
    arguments: argparse.Namespace, recipe: Recipe, resumed: Resumed
) -> tuple[Found | None, dict[str, object], Run | None]:
    """Returns the result of a single run, what `--json` prints of it, and the run itself."""
    run = run_one(arguments, recipe, resumed)
    if run is None:
        return None, {}, None
    finished = read_finished(recipe, run.path)
    # The run reports its model itself.
    return Found({recipe.name: [finished]}, {recipe.name: finished}, {}), run.to_json(), run


def _run_series(
    arguments: argparse.Namespace, series: Series
) -> tuple[Found, dict[str, object], None]:
    """Returns the result of several runs, and what `--json` prints of them."""
    from kerasft.benchmarks.glue.running import tasks_to_json

    series = series.begin(_SERIES)
    reporting = reporting_to(arguments, _COMMAND)
    found = run_seeds(series, reporting, lambda recipe: task_of(recipe).title)
    return found, tasks_to_json(series, found), None


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_COMMAND,
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
    add_run_arguments(parser)
    parser.set_defaults(usual_recipe="glue_mrpc")
    return parser


def _recipe_names(arguments: argparse.Namespace) -> list[str]:
    """Returns the names of the recipes to run; none if the resumed folder defines them."""
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
        fix=f"{_COMMAND} --task mrpc",
    )


def _plan(arguments: argparse.Namespace, names: Sequence[str]) -> Series:
    recipes = [load_recipe(name, arguments.overrides) for name in names]
    for recipe in recipes:
        task_of(recipe)
        refuse_seed(recipe, arguments.seeds)
    return Series(tuple(recipes), arguments.seeds)
