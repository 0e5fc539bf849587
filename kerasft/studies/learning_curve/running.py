"""Runs a learning curve: each size with each seed, measured on the same examples."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from kerasft.console import program
from kerasft.errors import UserError
from kerasft.metrics.spread import spread
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir, write_atomically
from kerasft.runs import train
from kerasft.runs.context import load_context
from kerasft.runs.data.source import TEST, VALIDATION, split_names
from kerasft.runs.evaluate import measure_validation
from kerasft.runs.resolved import load_run_recipe
from kerasft.studies.learning_curve.curve import Curve, Point
from kerasft.studies.learning_curve.plan import SERIES, Plan, base_name, recipes_of_sizes
from kerasft.studies.learning_curve.plot import plot_learning_curve
from kerasft.studies.series import Finished, Series, create_series, run_series, silence_retracing
from kerasft.training.callbacks.callback import Callback

_MEASURED = "whole_validation.json"  # of a run: what all of validation says of it


def run_curve(
    plan: Plan,
    *,
    new_callbacks: Callable[[], Sequence[Callback]] = tuple,
    log: Callable[[str], object] = lambda line: None,
    runs_folder: str | Path = "runs",
) -> tuple[Curve, RunDir]:
    """Runs what is not finished yet, and writes the curve into the folder of the series.

    Args:
        plan: What to run.
        new_callbacks: Makes the callbacks of a run.
        log: Called with messages: how it gets on.
        runs_folder: Where the folder of a new series is made.

    Returns:
        The curve, and the folder with `learning_curve.csv`, `.json` and `.png`.

    Raises:
        UserError: For a mistake in recipe, data or surroundings.
    """
    silence_retracing()
    series = plan.series or _begin(plan, new_callbacks(), runs_folder)
    folder = series.folder

    def run(recipe: Recipe, run_dir: RunDir | None, same_data_as: RunDir | None):
        return train.run(
            recipe,
            resume=run_dir,
            callbacks=new_callbacks(),
            runs_folder=folder.path,
            same_data_as=same_data_as,
        )

    try:
        found: dict[int, list[tuple[Finished, float]]] = {}
        for finished in run_series(series, run, log):
            metric, value = _measure(finished, new_callbacks)
            found.setdefault(finished.recipe.data.train_examples, []).append((finished, value))
    except KeyboardInterrupt as error:
        # The run's own hint would go on with that run alone.
        command = f"{program('kerasft')} learning-curve --resume {shlex.quote(str(folder.path))}"
        log(f"Go on with all of it: {command}")
        raise KeyboardInterrupt from error
    points = tuple(_point(size, of_size) for size, of_size in found.items())
    curve = Curve(base_name(series), metric, points, _notes(series, metric))
    _write(curve, folder)
    return curve, folder


def _begin(plan: Plan, callbacks: Sequence[Callback], runs_folder: str | Path) -> Series:
    """Makes the series of a new curve, when its data is found to be enough."""
    whole = dataclasses.replace(
        plan.recipe, data=dataclasses.replace(plan.recipe.data, train_examples=None)
    )
    context = load_context(whole, callbacks)
    available = context.data.splits.report["train_examples"]
    if plan.sizes[-1] > available:
        raise UserError(
            "There are not so many examples to train on.",
            received=f"--sizes up to {plan.sizes[-1]:,}",
            expected=f"at most {available:,}: so many of {context.data.source.name} are left to "
            "train on, without those held out",
            fix=f"end with {available}.",
        )
    # With the data that was found, perhaps the built-in sample.
    found = dataclasses.replace(whole, data=context.recipe.data)
    recipes = recipes_of_sizes(found, plan.sizes)
    return create_series(SERIES, recipes, plan.num_seeds, runs_folder)


def _measure(
    finished: Finished, new_callbacks: Callable[[], Sequence[Callback]]
) -> tuple[str, float | None]:
    """Returns the name of the headline metric, and its value for a run.

    Without a test split it is that of validation. Where validation is held out of train it
    shrinks with the training set, so that sizes would be compared on other examples: then the
    best weights are evaluated on all of it. No run has trained on any of it, whatever its size.
    """
    headline = finished.result["task"]["headline"]
    test = f"{TEST}/{headline}"
    if test in finished.metrics:
        return test, finished.metrics[test]
    metric = f"{VALIDATION}/{headline}"
    if not _validation_is_held_out(finished.recipe):
        return metric, finished.metrics[metric]
    if not (finished.run_dir.path / _MEASURED).exists():
        recipe = load_run_recipe(finished.run_dir)
        whole = dataclasses.replace(recipe.data, train_examples=None)
        recipe = dataclasses.replace(recipe, data=whole)
        metrics = measure_validation(recipe, finished.run_dir, new_callbacks())
        finished.run_dir.write_json(_MEASURED, metrics)
    return metric, finished.run_dir.read_json(_MEASURED)[headline]


def _validation_is_held_out(recipe: Recipe) -> bool:
    names = split_names(recipe)
    return names[VALIDATION] == names["train"]


def _point(size: int, found: Sequence[tuple[Finished, float | None]]) -> Point:
    runs = [finished for finished, _ in found]
    return Point(
        size,
        figure=spread([value for _, value in found]),
        seconds=spread([run.result["train"]["seconds"] for run in runs]),
        seeds=tuple(run.seed for run in runs),
        run_dirs=tuple(str(run.run_dir.path) for run in runs),
    )


def _notes(series: Series, metric: str) -> tuple[str, ...]:
    """Returns what limits the comparison."""
    recipe, notes = series.recipes[0], []
    if recipe.data.test_examples is not None and metric.startswith(f"{TEST}/"):
        notes.append(
            f"data.test_examples={recipe.data.test_examples}: drawn by the seed, so every size is "
            "tested on the same examples, but every seed on others."
        )
    if metric.startswith(f"{VALIDATION}/"):
        reason = "There is no test split" if recipe.evaluation.test else "evaluation.test=false"
        notes.append(
            f"{reason}: measured on validation, of which each run also chose its best step, so all "
            "figures are a little too good."
        )
    if recipe.training.steps is not None or recipe.training.examples is not None:
        notes.append(
            "The length of the training is fixed: a smaller set is gone through more often."
        )
    return tuple(notes)


def _write(curve: Curve, folder: RunDir) -> None:
    """Writes curve and plot."""
    folder.write_text(f"{SERIES}.csv", curve.to_csv())
    folder.write_json(f"{SERIES}.json", curve.to_json())
    png = plot_learning_curve(
        [point.size for point in curve.points],
        [point.figure.values for point in curve.points],
        metric=curve.metric,
        title=f"{curve.recipe}: learning curve",
    )
    write_atomically(folder.path / f"{SERIES}.png", png)
