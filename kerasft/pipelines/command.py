"""The command line that all pipelines share: arguments in, a finished run out, told to people."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerasft.console import print_json, results_only, tell
from kerasft.errors import UserError
from kerasft.pipelines.printing import print_run
from kerasft.pipelines.resuming import NOTHING, Resumed, change_recipe, open_resumed
from kerasft.pipelines.shorthands import Shorthand, add_shorthands, expand_shorthands
from kerasft.recipe import Recipe, list_recipes, load_recipe
from kerasft.recipe.conflicts import require_train_files
from kerasft.run_dir import latest_run_dir

if TYPE_CHECKING:
    from kerasft.training.events import Events

LATEST = object()  # what `--resume` without a run directory means
_SEEDS_HELP = "run with seeds 1 to N: mean and standard deviation, and the best seed's model"
_OVERRIDES_HELP = "settings that replace the recipe's, the value a TOML literal: training.epochs=1"


def run_pipeline(
    pipeline: str, argv: Sequence[str] | None = None, *, shorthands: Sequence[Shorthand] = ()
) -> None:
    """Runs a pipeline as its command line says.

    Args:
        pipeline: Its name, which is also that of its usual recipe.
        argv: The arguments; `None` takes those of the process.
        shorthands: Options of this pipeline, each of which stands for a recipe field.

    Raises:
        UserError: For a mistake in arguments, recipe, data or surroundings.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m kerasft.pipelines.{pipeline}",
        description=f"Runs the {pipeline} pipeline: data, training, evaluation, export.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--recipe", metavar="NAME_OR_FILE", help=f'a recipe or TOML file; else "{pipeline}"'
    )
    add_run_arguments(parser)
    add_shorthands(parser, shorthands)
    parser.set_defaults(usual_recipe=pipeline, command=parser.prog)
    arguments = parser.parse_intermixed_args(argv)
    arguments.overrides = expand_shorthands(arguments, shorthands)
    run_from_arguments(arguments, usual_recipe=pipeline)


def add_run_arguments(parser: argparse.ArgumentParser, seeds_help: str = _SEEDS_HELP) -> None:
    """Adds the arguments of a run, all but its recipe."""
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
    """Adds the settings of a run that may change when it is evaluated or exported again."""
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="section.key=value",
        help="where the data lies now: data.train_files=new/reviews.csv",
    )


def run_from_arguments(arguments: argparse.Namespace, usual_recipe: str | None = None) -> None:
    """Starts or resumes a run, and prints what came of it.

    Args:
        arguments: `recipe`, `seeds`, `resume`, `runs_folder`, `json`, `overrides`, and the
            `command` that they stand behind.
        usual_recipe: The recipe when none is named.

    Raises:
        UserError: For a mistake in arguments, recipe, data or surroundings.
    """
    from kerasft.pipelines import seed_runs  # which builds on this module

    if seed_runs.wants_series(arguments):
        seed_runs.run_from_arguments(arguments, usual_recipe)
        return
    recipe, resumed = choose_run(arguments, usual_recipe)
    with results_only():
        # Only now, when the recipe is known to be good: this imports TensorFlow.
        from kerasft.pipelines import workflow

        events = [build_progress(recipe, plain=arguments.json)]
        run = workflow.run(
            recipe,
            resume=resumed.run_dir,
            from_step=resumed.step,
            events=events,
            runs_folder=arguments.runs_folder,
            same_data_as=arguments.same_data_as,
        )
    if run is None:
        return  # the chief's process tells it
    if arguments.json:
        print_json(run.to_json())
    else:
        print_run(run)


def build_progress(recipe: Recipe | None = None, *, plain: bool = False) -> Events:
    """Builds the listener that shows people how far a run is, on stderr.

    Args:
        recipe: What is run; while a long one runs, people are told of its `_quick` variant. Of the
            processes of a run the chief's alone shows anything. `None`: no run.
        plain: Whether to write lines even on a terminal.
    """
    from rich.console import Console

    from kerasft.training.events import Events
    from kerasft.training.progress import ProgressEvents
    from kerasft.training.workers import expected_cluster

    strategy = "auto" if recipe is None else recipe.training.strategy
    if not expected_cluster(strategy).is_chief:
        return Events()  # all would tell the same
    console = Console(stderr=True, force_interactive=False if plain else None)
    if recipe is None:
        return ProgressEvents(console)
    monitor = recipe.training.monitor
    return ProgressEvents(
        console,
        long_run_hint=_quicker(recipe),
        headline=recipe.evaluation.headline,
        monitor=None if monitor == "auto" else monitor,
    )


def _quicker(recipe: Recipe) -> str | None:
    """Names the recipe's `_quick` variant, if there is another one of that name."""
    quick = f"{recipe.name.partition('_')[0]}_quick"
    offered = quick != recipe.name and quick in {info.name for info in list_recipes()}
    return f"`--recipe {quick}` takes minutes." if offered else None


def choose_run(arguments: argparse.Namespace, usual_recipe: str | None) -> tuple[Recipe, Resumed]:
    """Returns the recipe to run, and what to go on with.

    Args:
        arguments: `recipe`, `resume`, `runs_folder` and `overrides`, of a parser with
            `add_run_arguments`.
        usual_recipe: The recipe when none is named.

    Raises:
        UserError: For a mistake in the recipe, or a run that cannot be gone on with.
    """
    resume, named, overrides = arguments.resume, arguments.recipe, [*arguments.overrides]
    if isinstance(resume, str) and is_override(resume):
        # `--resume training.epochs=5`: argparse takes it for the folder.
        resume, overrides = LATEST, [resume, *overrides]
    if named is None and usual_recipe is None and resume in (None, LATEST):
        raise UserError(
            "Which recipe?",
            expected=f"one of {', '.join(info.name for info in list_recipes())}, or a TOML file",
            fix="kerasft run imdb_quick",
        )
    if resume is None:
        recipe = load_recipe(named or usual_recipe, overrides)
        require_train_files(recipe)  # a shipped recipe may leave them to the command line
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
    recipe = change_recipe(resumed.run_dir, overrides, named=named_recipe, tell=tell)
    return recipe, resumed


def is_override(argument: str) -> bool:
    """Tells whether an argument is a setting, `section.key=value`, and no name or file."""
    return "=" in argument and not Path(argument).exists()


def refuse_overrides(arguments: argparse.Namespace) -> None:
    """Refuses settings beside `--resume`, of several runs.

    Raises:
        UserError: If there are any.
    """
    given = list(arguments.overrides)
    resume = arguments.resume
    if resume is not LATEST and is_override(resume):
        given.insert(0, resume)  # `--resume training.epochs=1`: argparse takes it for the folder
    if given:
        raise UserError(
            "Runs are resumed with their own recipes: no setting can be changed on the way.",
            received=" ".join(given),
            expected="--resume without section.key=value",
            fix="leave the settings out, or start a new run without --resume.",
        )
