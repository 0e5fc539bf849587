"""GLUE, task by task or all of it: `python -m kerasft.pipelines.glue --task mrpc`.

Wang et al., 2018, "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
Understanding". Settings and checkpoints are chosen on a tenth held out of train; GLUE's validation
split, whose labels are known, is what is reported, once. One recipe a task: `glue_<task>`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasft.benchmarks.glue.plan import COMMAND, SERIES, Plan, build_parser, make_plan
from kerasft.benchmarks.glue.table import build_table, flat_figures, print_table
from kerasft.benchmarks.glue.tasks import task_of
from kerasft.cli.printing import print_run
from kerasft.console import log, print_json, results_only, run_guarded
from kerasft.errors import UserError
from kerasft.recipe import Recipe
from kerasft.runs.terminal import build_progress
from kerasft.studies.seeds import run_all
from kerasft.studies.series import Finished, create_series, read_finished

if TYPE_CHECKING:
    from kerasft.benchmarks.glue.submission import Written
    from kerasft.runs.result import Run


class Outcome(NamedTuple):
    """What came of a command.

    Attributes:
        runs: The finished runs, by the name of the task.
        found: What `--json` prints of them, beside the table.
        best: Of each task the run that is best on the part held out of train, never on what is
            reported.
        run: The run, where there was one alone.
    """

    runs: Mapping[str, Sequence[Finished]]
    found: dict[str, object]
    best: Mapping[str, Finished]
    run: Run | None = None


def main() -> int:
    """Runs the pipeline as the command line says; returns the exit code."""
    return run_guarded(run_glue)


def run_glue(argv: Sequence[str] | None = None) -> None:
    """Runs one task or several, with one seed or several, and prints what came of it.

    Args:
        argv: The arguments; `None` takes those of the process.

    Raises:
        UserError: For a mistake in arguments, recipe, data or surroundings.
    """
    arguments = build_parser().parse_intermixed_args(argv)
    plan = make_plan(arguments)
    folder = None if arguments.submission is None else Path(arguments.submission)
    with results_only():
        # Only now, when the recipes are known to be good: this imports TensorFlow.
        from kerasft.benchmarks.glue import submission as glue_submission

        notes = _check_data(plan.recipes)
        if folder is not None:
            glue_submission.prepare_folder(folder)
            for recipe in plan.recipes:
                glue_submission.find_test_data(task_of(recipe), recipe.data.data_dir, log)
        outcome = (_run_series if plan.several else _run_one)(plan, arguments)
        written = None
        if folder is not None:
            written = glue_submission.write_submission(
                outcome.best,
                folder,
                callbacks=[build_progress(plain=arguments.json)],
                log=log,
            )
    if arguments.json:
        submission = None if written is None else written._asdict()
        table = build_table(outcome.runs).to_json()
        print_json(outcome.found | {"table": table, "notes": notes, "submission": submission})
    else:
        _print_outcome(outcome, notes, written)


def _print_outcome(outcome: Outcome, notes: Sequence[str], written: Written | None) -> None:
    lines = list(notes)
    if outcome.run is not None:
        print_run(outcome.run)
    else:
        lines += [f"model      {model}" for model in outcome.found["saved_models"].values()]
    if written is not None and written.archive is not None:
        lines.append(f"submission {written.archive}")
    print_table(build_table(outcome.runs))
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _check_data(recipes: Sequence[Recipe]) -> list[str]:
    """Looks for all data before hours are spent; returns what keeps figures from being GLUE's."""
    from kerasft.data.sources.source import load_source

    notes, missing = [], {}
    for recipe in recipes:
        task = task_of(recipe)
        try:
            source = load_source(recipe.data.dataset, recipe.data.data_dir, log=log)
        except UserError as error:
            missing[task.name] = error
            continue
        count = source.num_examples(recipe.data.train_split)
        if count < task.num_train:
            notes.append(
                f"{task.title}: the train split has {count:,} of {task.num_train:,} examples here."
            )
        limits = {key: getattr(recipe.data, key) for key in ("train_examples", "test_examples")}
        notes += [
            f"data.{key}={value}: not all of GLUE's." for key, value in limits.items() if value
        ]
    if missing:
        raise _without_data(missing, [task_of(recipe).name for recipe in recipes])
    notes = list(dict.fromkeys(notes))
    for note in notes:
        log(note)
    return notes


def _without_data(missing: Mapping[str, UserError], tasks: Sequence[str]) -> UserError:
    first = next(iter(missing.values()))
    rest = [name for name in tasks if name not in missing]
    if not rest:
        return first
    return UserError(
        f"There is no data for {', '.join(missing)}: {first}",
        fix=f"or run the others: --task {','.join(rest)}",
    )


def _run_one(plan: Plan, arguments: argparse.Namespace) -> Outcome:
    from kerasft.runs import workflow

    (recipe,) = plan.recipes
    callbacks = [build_progress(recipe, plain=arguments.json)]
    resumed = plan.resumed
    run = workflow.run(recipe, resume=resumed.run_dir, from_step=resumed.step, callbacks=callbacks)
    name, finished = task_of(recipe).name, read_finished(recipe, run.path)
    return Outcome({name: [finished]}, run.to_json(), {name: finished}, run)


def _run_series(plan: Plan, arguments: argparse.Namespace) -> Outcome:
    """Runs what is not finished yet, and exports of each task the best seed's model."""
    series = plan.series or create_series(SERIES, plan.recipes, arguments.seeds)
    found = run_all(
        series,
        plain=arguments.json,
        log=log,
        go_on=f"{COMMAND} --resume",
        title_of=lambda recipe: task_of(recipe).title,
    )
    task_names = {recipe.name: task_of(recipe).name for recipe in series.recipes}
    runs = {task_names[name]: of_recipe for name, of_recipe in found.runs.items()}
    best = {task_names[name]: run for name, run in found.best.items()}
    shown = {
        "run_dir": str(series.folder.path),
        "run_dirs": {
            task: [str(run.run_dir.path) for run in of_task] for task, of_task in runs.items()
        },
        "best_seeds": {task: found.best_seed(name) for name, task in task_names.items()},
        "saved_model": None,
        "saved_models": {task_names[name]: model for name, model in found.models.items()},
        "metrics": flat_figures(build_table(runs)),
    }
    return Outcome(runs, shown, best)


if __name__ == "__main__":
    sys.exit(main())
