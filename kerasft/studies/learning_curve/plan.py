"""What a command line asks for as a learning curve, checked before TensorFlow is imported."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from collections.abc import Sequence
from typing import NamedTuple

from kerasft.errors import UserError
from kerasft.recipe import Recipe, load_recipe
from kerasft.recipe.conflicts import require_train_files
from kerasft.runs import arguments as run_arguments
from kerasft.studies.learning_curve.curve import sizes_text
from kerasft.studies.series import (
    Series,
    check_seeds,
    is_series,
    latest_series,
    open_series,
    refuse_seed,
)

SERIES = "learning_curve"  # begins the folders: runs/learning_curve-20261125-103000
USUAL_SEEDS = 3
_EXAMPLE = "--sizes 100,300,1000,3000"


class Plan(NamedTuple):
    """What to run: a new curve, or one that was begun.

    Attributes:
        recipe: The recipe of a new curve.
        sizes: Its sizes, rising.
        num_seeds: How many seeds; `None` is the recipe's own alone.
        series: The series to go on with, in which all of that is settled.
    """

    recipe: Recipe | None
    sizes: tuple[int, ...]
    num_seeds: int | None
    series: Series | None = None


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Reads the arguments, and the recipe that they name.

    Args:
        arguments: `recipe`, `sizes`, `seeds`, `resume` and `overrides`.

    Raises:
        UserError: For a mistake in them or in the recipe, or if there is nothing to resume.
    """
    sizes = None if arguments.sizes is None else read_sizes(arguments.sizes)
    check_seeds(arguments.seeds)
    if isinstance(arguments.resume, str):
        run_arguments.refuse_overrides(arguments)
        return _open_named(arguments, sizes)
    if arguments.recipe is None:
        raise UserError(
            "Which recipe?", expected="its name", fix=f"kerasft learning-curve imdb {_EXAMPLE}"
        )
    if sizes is None:
        raise UserError(
            "How many training examples?",
            expected="--sizes with two whole numbers or more, rising",
            fix=f"kerasft learning-curve {arguments.recipe} {_EXAMPLE}",
        )
    if arguments.resume is not None:
        run_arguments.refuse_overrides(arguments)
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    require_train_files(recipe)
    num_seeds = _choose_seeds(recipe, arguments.seeds)
    _check_settings(recipe)
    if arguments.resume is None:
        return Plan(recipe, sizes, num_seeds)
    recipes = recipes_of_sizes(recipe, sizes)
    return Plan(None, sizes, num_seeds, latest_series(SERIES, recipes, num_seeds))


def read_sizes(text: str) -> tuple[int, ...]:
    """Reads `--sizes`: whole numbers above 0, rising, at least two.

    Raises:
        UserError: They are not.
    """
    parts = [part.strip() for part in text.split(",")]
    whole = all(part.isascii() and part.isdecimal() for part in parts)
    sizes = tuple(map(int, parts)) if whole else ()
    rising = all(a < b for a, b in zip((0, *sizes), sizes, strict=False))
    if len(sizes) < 2 or not rising:
        raise UserError(
            "--sizes are no sizes of training sets.",
            received=text,
            expected="whole numbers above 0, rising, at least two, with commas between them",
            fix=_EXAMPLE,
        )
    return sizes


def recipes_of_sizes(recipe: Recipe, sizes: Sequence[int]) -> list[Recipe]:
    """Returns the recipe once for each size, under the name `<recipe>-<size>`.

    None exports: models of parts of the data are not there to be served.
    """
    return [
        dataclasses.replace(
            recipe,
            name=f"{recipe.name}-{size}",
            overridden=recipe.overridden | {"data.train_examples", "export.enabled"},
            data=dataclasses.replace(recipe.data, train_examples=size),
            export=dataclasses.replace(recipe.export, enabled=False),
        )
        for size in sizes
    ]


def base_name(series: Series) -> str:
    """Returns the name of the recipe that a curve is of.

    Raises:
        UserError: If the series is none of a learning curve.
    """
    sizes = [recipe.data.train_examples for recipe in series.recipes]
    name = series.recipes[0].name.removesuffix(f"-{sizes[0]}")
    if [recipe.name for recipe in series.recipes] != [f"{name}-{size}" for size in sizes]:
        raise UserError(
            "The folder is not that of a learning curve.",
            received=str(series.folder.path),
            expected=f"a folder runs/{SERIES}-..., or --resume without a value",
        )
    return name


def _open_named(arguments: argparse.Namespace, sizes: tuple[int, ...] | None) -> Plan:
    """Opens the curve in a folder; what else the command line says must not differ from it."""
    folder = arguments.resume
    if not is_series(folder):
        raise UserError(
            "The folder is not that of a learning curve.",
            received=folder,
            expected=f"a folder runs/{SERIES}-..., or --resume without a value",
        )
    series = open_series(folder)
    own_sizes = tuple(recipe.data.train_examples for recipe in series.recipes)
    own = (base_name(series), own_sizes, series.num_seeds)
    name = own[0] if arguments.recipe is None else load_recipe(arguments.recipe).name
    if (name, sizes or own_sizes, arguments.seeds or series.num_seeds) != own:
        raise UserError(
            f"The curve in {folder} is another than the one named.",
            received=f"{name}; --sizes {sizes_text(sizes or own_sizes)}; "
            f"--seeds {arguments.seeds or series.num_seeds}",
            expected=f"{own[0]}; --sizes {sizes_text(own_sizes)}; --seeds {series.num_seeds}, or "
            "none of them",
            fix=f"--resume {shlex.quote(folder)} alone.",
        )
    return Plan(None, own_sizes, series.num_seeds, series)


def _choose_seeds(recipe: Recipe, seeds: int | None) -> int | None:
    """Returns how many seeds; a seed of the user's stands alone."""
    refuse_seed(recipe, seeds)
    if seeds is None and "training.seed" in recipe.overridden:
        return None
    return seeds or USUAL_SEEDS


def _check_settings(recipe: Recipe) -> None:
    """Refuses settings that a curve decides itself."""
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
