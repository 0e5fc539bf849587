"""Runs a learning curve: each size with each seed, measured on the same examples.

TensorFlow is imported only when a curve is run, since command lines import this at once.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from kerasft.errors import UserError
from kerasft.metrics.spread import spread
from kerasft.recipe import Recipe, load_recipe
from kerasft.run_dir import RunDir, write_atomically
from kerasft.runs.resolved import load_run_recipe
from kerasft.studies.learning_curve.curve import Curve, Point, plot_learning_curve
from kerasft.studies.series import (
    Finished,
    Reporting,
    Series,
    open_series,
    other_folder,
    refuse_seed,
    run_series,
)

SERIES = "learning_curve"  # folder prefix: runs/learning_curve-20261125-103000
USUAL_SEEDS = 3
EXAMPLE = "--sizes 100,300,1000,3000"
_KIND = "a learning curve"
_MEASURED = "whole_validation.json"  # of a run: its metrics on all of validation
TEST, VALIDATION = "test", "validation"


def read_sizes(text: str) -> tuple[int, ...]:
    """Parses `--sizes`: at least two positive, increasing integers; else raises `UserError`."""
    parts = [part.strip() for part in text.split(",")]
    whole = all(part.isascii() and part.isdecimal() for part in parts)
    sizes = tuple(map(int, parts)) if whole else ()
    rising = all(a < b for a, b in zip((0, *sizes), sizes, strict=False))
    if len(sizes) < 2 or not rising:
        raise UserError(
            "--sizes are no sizes of training sets.",
            received=text,
            expected="whole numbers above 0, rising, at least two, with commas between them",
            fix=EXAMPLE,
        )
    return sizes


def plan_curve(recipe: Recipe, sizes: Sequence[int], num_seeds: int | None) -> Series:
    """Returns the series of a new curve, not begun yet.

    `num_seeds=None`: three, or the seed that the recipe is given.

    Raises:
        UserError: The recipe sets what a curve controls itself.
    """
    refuse_seed(recipe, num_seeds)
    _check_settings(recipe)
    if num_seeds is None and "training.seed" not in recipe.overridden:
        num_seeds = USUAL_SEEDS
    return Series(recipes_of_sizes(recipe, sizes), num_seeds)


def open_curve(
    folder: str,
    name: str,
    recipes: Sequence[str],
    seeds: int | None,
    sizes: Sequence[int] | None = None,
) -> Series:
    """Opens the curve in a folder; raises `UserError` if other arguments differ from it.

    `name` is the prefix of such folders. `recipes`, `seeds` and `sizes` (from `read_sizes`) are
    compared if given.
    """
    series = open_series(folder, name, _KIND)
    own = (base_name(series), sizes_of(series), series.num_seeds)
    named = [load_recipe(recipe).name for recipe in recipes] or [own[0]]
    wanted = (named[0], sizes or own[1], seeds or series.num_seeds)
    if wanted != own:
        raise UserError(
            f"The curve in {folder} is another than the one named.",
            received=_describe(*wanted),
            expected=f"{_describe(*own)}, or none of them",
            fix=f"--resume {shlex.quote(folder)} alone.",
        )
    return series


def recipes_of_sizes(recipe: Recipe, sizes: Sequence[int]) -> tuple[Recipe, ...]:
    """Returns one recipe per size, named `<recipe>-<size>`, without export.

    Models of parts of the data are not meant to be served.
    """
    return tuple(
        dataclasses.replace(
            recipe,
            name=f"{recipe.name}-{size}",
            overridden=recipe.overridden | {"data.train_examples", "export.enabled"},
            data=dataclasses.replace(recipe.data, train_examples=size),
            export=dataclasses.replace(recipe.export, enabled=False),
        )
        for size in sizes
    )


def sizes_of(series: Series) -> tuple[int, ...]:
    """Returns the sizes of a curve."""
    return tuple(recipe.data.train_examples for recipe in series.recipes)


def base_name(series: Series) -> str:
    """Returns the recipe name of a curve; raises `UserError` if the series is not a curve."""
    sizes = sizes_of(series)
    name = series.recipes[0].name.removesuffix(f"-{sizes[0]}")
    if [recipe.name for recipe in series.recipes] != [f"{name}-{size}" for size in sizes]:
        raise other_folder(series.folder.path, SERIES, _KIND)
    return name


def run_curve(
    series: Series, reporting: Reporting, runs_folder: str | Path = "runs"
) -> tuple[Curve, RunDir]:
    """Runs what is not finished, and writes the curve into the folder of the series.

    `series` is from `plan_curve` or `open_curve`. The folder returned has `learning_curve.csv`,
    `.json` and `.png`.
    """
    if series.folder is None:
        series = _settle(series, reporting).begin(SERIES, runs_folder)
    found: dict[int, list[tuple[Finished, float | None]]] = {}
    with reporting.resume_hint(series):
        for finished in run_series(series, reporting):
            metric, value = _measure(finished, reporting)
            found.setdefault(finished.recipe.data.train_examples, []).append((finished, value))
    points = tuple(_point(size, of_size) for size, of_size in found.items())
    curve = Curve(base_name(series), metric, points, _notes(series, metric))
    _write(curve, series.folder)
    return curve, series.folder


def _check_settings(recipe: Recipe) -> None:
    """Refuses settings that a curve controls itself."""
    if "data.train_examples" in recipe.overridden:
        raise UserError(
            "--sizes says on how many examples is trained, and data.train_examples is given, too.",
            received=f"data.train_examples={recipe.data.train_examples}",
            fix="leave data.train_examples out.",
        )
    if "export.enabled" in recipe.overridden and recipe.export.enabled:
        raise UserError(
            "A learning curve exports no models: they have seen a part of the data only.",
            received="export.enabled=true",
            fix="leave it out, and export from a run: kerasft run.",
        )


def _describe(name: str, sizes: Sequence[int], num_seeds: int | None) -> str:
    return f"{name}; --sizes {','.join(map(str, sizes))}; --seeds {num_seeds}"


def _settle(series: Series, reporting: Reporting) -> Series:
    """Returns a series with the settings fixed by its data, if there are enough examples."""
    from kerasft.runs.context import load_context

    sizes = sizes_of(series)
    whole = _on_all_data(series.recipes[0], base_name(series))
    context = load_context(whole, reporting.new_callbacks(whole))
    available = context.data.splits.report["train_examples"]
    if sizes[-1] > available:
        raise UserError(
            "There are not so many examples to train on.",
            received=f"--sizes up to {sizes[-1]:,}",
            expected=f"at most {available:,}: so many of {context.data.source.name} are left to "
            "train on, without those held out",
            fix=f"end with {available}.",
        )
    # With the data that was found, possibly the built-in sample.
    found = dataclasses.replace(whole, data=context.recipe.data)
    return dataclasses.replace(series, recipes=recipes_of_sizes(found, sizes))


def _on_all_data(recipe: Recipe, name: str) -> Recipe:
    data = dataclasses.replace(recipe.data, train_examples=None)
    return dataclasses.replace(recipe, name=name, data=data)


def _measure(finished: Finished, reporting: Reporting) -> tuple[str, float | None]:
    """Returns the name of the headline metric, and its value for a run.

    Without a test split, the metric is on validation. If validation is held out of train, it
    shrinks with the training set. The best weights are then evaluated on all of it, so that sizes
    are compared on the same examples. No run has trained on any of them, whatever its size.
    """
    from kerasft.runs.data.source import split_names
    from kerasft.runs.evaluate import measure_validation

    headline = finished.result["task"]["headline"]
    test = f"{TEST}/{headline}"
    if test in finished.metrics:
        return test, finished.metrics[test]
    metric = f"{VALIDATION}/{headline}"
    names = split_names(finished.recipe)
    if names[VALIDATION] != names["train"]:  # not held out
        return metric, finished.metrics[metric]
    if not (finished.run_dir.path / _MEASURED).exists():
        recipe = load_run_recipe(finished.run_dir)
        whole = _on_all_data(recipe, recipe.name)
        metrics = measure_validation(whole, finished.run_dir, reporting.new_callbacks(whole))
        finished.run_dir.write_json(_MEASURED, metrics)
    return metric, finished.run_dir.read_json(_MEASURED)[headline]


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
    """Returns the limits of the comparison."""
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
    write_atomically(folder.path / f"{SERIES}.png", plot_learning_curve(curve))
