"""Command-line arguments of a run: its recipe, what to resume, and overrides."""

from __future__ import annotations

import argparse
from pathlib import Path

from kerasft.console import log
from kerasft.errors import UserError
from kerasft.recipe import Recipe, list_recipes, load_recipe
from kerasft.recipe.conflicts import require_train_files
from kerasft.run_dir import latest_run_dir
from kerasft.runs.resume import NOTHING, Resumed, change_recipe, open_resumed

LATEST = object()  # `--resume` without a run directory
_SEEDS_HELP = "run with seeds 1 to N: mean and standard deviation, and the best seed's model"
_OVERRIDES_HELP = "settings that replace the recipe's, the value a TOML literal: training.epochs=1"


def add_recipe(parser: argparse.ArgumentParser, resumed: str = "FOLDER") -> None:
    """Adds the recipe argument of a command that can resume; `resumed` names what is resumed."""
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help=f"name of a recipe, or a TOML file; may be left out with --resume {resumed}",
    )


def add_run_arguments(parser: argparse.ArgumentParser, seeds_help: str = _SEEDS_HELP) -> None:
    """Adds the arguments of a run, except its recipe."""
    parser.add_argument("--seeds", type=int, metavar="N", help=seeds_help)
    parser.add_argument(
        "--resume",
        nargs="?",
        const=LATEST,
        metavar="RUN_DIR",
        help="go on with a run that was interrupted, or from its checkpoints/step-N; without a "
        "value, with the recipe's latest",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.set_defaults(runs_folder="runs", same_data_as=None)
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help=_OVERRIDES_HELP)


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Adds the settings that may change when a run is evaluated or exported again."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="section.key=value",
        help="where the data lies now: data.train_files=new/reviews.csv",
    )


def choose_run(arguments: argparse.Namespace, usual_recipe: str | None) -> tuple[Recipe, Resumed]:
    """Returns the recipe to run, and the run to resume, if any.

    Args:
        arguments: `recipe`, `resume`, `runs_folder` and `overrides`, of a parser with
            `add_run_arguments`.
        usual_recipe: The default recipe; `None`: one must be named.
    """
    resume, named, overrides = arguments.resume, arguments.recipe, [*arguments.overrides]
    if isinstance(resume, str) and is_override(resume):
        # `--resume training.epochs=5`: argparse takes the setting for the folder.
        resume, overrides = LATEST, [resume, *overrides]
    if named is None and usual_recipe is None and resume in (None, LATEST):
        raise UserError(
            "Which recipe?",
            expected=f"one of {', '.join(info.name for info in list_recipes())}, or a TOML file",
            fix="kerasft run imdb_quick",
        )
    if resume is None:
        recipe = load_recipe(named or usual_recipe, overrides)
        require_train_files(recipe)  # shipped recipes may leave them to the command line
        return recipe, NOTHING
    if resume is LATEST:
        resumed = Resumed(
            latest_run_dir(load_recipe(named or usual_recipe).name, arguments.runs_folder)
        )
    else:
        resumed = open_resumed(resume)
    named_recipe = None if named is None else load_recipe(named)
    own_name = load_recipe(resumed.run_dir.recipe_path).name
    if named_recipe is not None and named_recipe.name != own_name:
        raise UserError(
            f"The run {resumed.run_dir.path} is of another recipe than the one named.",
            received=named,
            expected=f'"{own_name}", or no recipe: a run is resumed with its own',
            fix=f"--resume {resumed.run_dir.path} alone.",
        )
    recipe = change_recipe(resumed.run_dir, overrides, named=named_recipe, log=log)
    return recipe, resumed


def is_override(argument: str) -> bool:
    """Returns whether an argument is a setting, `section.key=value`, and not a name or file."""
    return "=" in argument and not Path(argument).exists()


def refuse_overrides(arguments: argparse.Namespace) -> None:
    """Raises `UserError` if settings are given when several runs are resumed."""
    given = list(arguments.overrides)
    resume = arguments.resume
    if resume is not LATEST and is_override(resume):
        given.insert(0, resume)  # `--resume training.epochs=1`: not a folder
    if given:
        raise UserError(
            "Runs are resumed with their own recipes: no setting can be changed on the way.",
            received=" ".join(given),
            expected="--resume without section.key=value",
            fix="leave the settings out, or start a new run without --resume.",
        )
