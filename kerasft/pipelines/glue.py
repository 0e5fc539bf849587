"""GLUE, task by task or all of it: `python -m kerasft.pipelines.glue --task mrpc`.

Wang et al., 2018, "GLUE: A Multi-Task Benchmark and Analysis Platform for Natural Language
Understanding". Settings and checkpoints are chosen on a tenth held out of train; GLUE's validation
split, whose labels are known, is what is reported, once. One recipe a task: `glue_<task>`.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasft.console import print_json, results_only, run_guarded
from kerasft.errors import UserError
from kerasft.pipelines import command
from kerasft.pipelines.glue_plan import COMMAND, SERIES, Plan, build_parser, make_plan
from kerasft.pipelines.glue_table import build_table, flat_figures, print_table
from kerasft.pipelines.glue_tasks import TASKS, task_of
from kerasft.pipelines.printing import print_run
from kerasft.pipelines.seeds import (
    Finished,
    Series,
    best_by_validation,
    create_series,
    read_finished,
    run_series,
    silence_retracing,
)
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir

if TYPE_CHECKING:
    from kerasft.pipelines.glue_submission import Written
    from kerasft.pipelines.result import Run

_EXPORTS = "exports.json"


class Outcome(NamedTuple):
    """What came of a command.

    Attributes:
        runs: The finished runs, by the name of the task.
        found: What `--json` prints of them, beside the table.
        run: The run, where there was one alone.
    """

    runs: Mapping[str, Sequence[Finished]]
    found: dict[str, object]
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
        from kerasft.pipelines import glue_submission

        notes = _check_data(plan.recipes)
        if folder is not None:
            glue_submission.prepare_folder(folder)
            for recipe in plan.recipes:
                glue_submission.find_test_data(task_of(recipe), recipe.data.data_dir, _tell)
        outcome = (_run_series if plan.several else _run_one)(plan, arguments)
        written = None
        if folder is not None:
            written = glue_submission.write_submission(
                {name: _best(found) for name, found in outcome.runs.items()},
                folder,
                events=[command.build_progress(plain=arguments.json)],
                tell=_tell,
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
    from kerasft.data.sources import load_source

    notes, missing = [], {}
    for recipe in recipes:
        task = task_of(recipe)
        try:
            source = load_source(recipe.data.dataset, recipe.data.data_dir, warn=_tell)
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
        _tell(note)
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
    from kerasft.pipelines import workflow

    (recipe,) = plan.recipes
    events = [command.build_progress(recipe, plain=arguments.json)]
    run = workflow.run(recipe, resume=plan.resume, events=events)
    runs = {task_of(recipe).name: [read_finished(recipe, run.path)]}
    return Outcome(runs, run.to_json(), run)


def _run_series(plan: Plan, arguments: argparse.Namespace) -> Outcome:
    """Runs what is not finished yet, and exports of each task the best seed's model."""
    from kerasft.pipelines import workflow

    silence_retracing()
    series = plan.series or create_series(SERIES, plan.recipes, arguments.seeds)
    folder = series.folder.path

    def run(recipe: Recipe, run_dir: RunDir | None):
        events = [command.build_progress(recipe, plain=arguments.json)]
        return workflow.run(recipe, resume=run_dir, events=events, runs_folder=folder)

    runs: dict[str, list[Finished]] = {}
    try:
        for finished in run_series(series, run, _tell):
            runs.setdefault(task_of(finished.recipe).name, []).append(finished)
        best = {name: _best(found) for name, found in runs.items()}
        for name, run_of_best in best.items():
            if len(runs[name]) > 1:
                _tell(f"{TASKS[name].title}: seed {run_of_best.seed} is the best on validation.")
        models = _export_best(series, best)
    except KeyboardInterrupt as error:
        # The run's own hint would go on with that run alone.
        _tell(f"Go on with all of it: {COMMAND} --resume {shlex.quote(str(folder))}")
        raise KeyboardInterrupt from error
    run_dirs = {name: [str(run.run_dir.path) for run in found] for name, found in runs.items()}
    found = {
        "run_dir": str(folder),
        "run_dirs": run_dirs,
        "best_seeds": {name: run_of_best.seed for name, run_of_best in best.items()},
        "saved_model": None,
        "saved_models": models,
        "metrics": flat_figures(build_table(runs)),
    }
    return Outcome(runs, found)


def _export_best(series: Series, best: Mapping[str, Finished]) -> dict[str, str | None]:
    """Exports of each task the model of its best seed, unless that was done already."""
    from kerasft.pipelines import workflow

    record = series.folder.path / _EXPORTS
    models = series.folder.read_json(_EXPORTS) if record.exists() else {}
    enabled = {task_of(recipe).name: recipe.export.enabled for recipe in series.recipes}
    for name, run in best.items():
        if run.recipe.export.enabled:  # it did so itself
            models[name] = run.result["saved_model"]
        elif enabled[name] and name not in models:
            models[name] = str(workflow.export_run(run.run_dir))
            series.folder.write_json(_EXPORTS, models)
    return models


def _best(runs: Sequence[Finished]) -> Finished:
    """Returns the run that is best on the part held out of train, never on what is reported."""
    from kerasft.training.fit import is_better

    return best_by_validation(runs, is_better)


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
