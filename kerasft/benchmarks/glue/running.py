"""GLUE's additions to a series of runs: data checked first, task names in the JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kerasft.benchmarks.glue.table import flat_figures, glue_table
from kerasft.benchmarks.glue.tasks import task_of
from kerasft.data.sources.source import load_source
from kerasft.errors import UserError
from kerasft.recipe import Recipe
from kerasft.studies.seeds import Found
from kerasft.studies.series import Series


def check_data(recipes: Sequence[Recipe], log: Callable[[str], object]) -> list[str]:
    """Checks that the data of all tasks is there, before hours of training.

    Returns:
        Reasons why the figures are not GLUE's: a truncated split, or a limit on examples.

    Raises:
        UserError: Data is missing; the message names the tasks whose data is there.
    """
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


def tasks_to_json(series: Series, found: Found) -> dict[str, object]:
    """Returns what `--json` prints of several runs, except the table."""
    names = {recipe.name: task_of(recipe).name for recipe in series.recipes}
    run_dirs = {
        names[recipe]: [str(run.run_dir.path) for run in runs]
        for recipe, runs in found.runs.items()
    }
    return {
        "run_dir": str(series.folder.path),
        "run_dirs": run_dirs,
        "best_seeds": {task: found.best_seed(recipe) for recipe, task in names.items()},
        "saved_model": None,
        "saved_models": {names[recipe]: model for recipe, model in found.models.items()},
        "metrics": flat_figures(glue_table(found.runs.values())),
    }


def _without_data(missing: Mapping[str, UserError], tasks: Sequence[str]) -> UserError:
    first = next(iter(missing.values()))
    rest = [name for name in tasks if name not in missing]
    if not rest:
        return first
    return UserError(
        f"There is no data for {', '.join(missing)}: {first}",
        fix=f"or run the others: --task {','.join(rest)}",
    )
