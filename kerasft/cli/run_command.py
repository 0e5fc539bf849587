"""Shared by `kerasft run` and all pipelines: one run, or one recipe with several seeds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kerasft.cli.printing import print_run, print_seeds
from kerasft.cli.series_arguments import choose_series, reporting_to, wants_series
from kerasft.cli.shorthands import Shorthand, add_shorthands, expand_shorthands
from kerasft.console import print_json, results_only
from kerasft.errors import UserError
from kerasft.recipe import Recipe, load_recipe
from kerasft.recipe.conflicts import require_train_files
from kerasft.run_dir.result import Run
from kerasft.runs.arguments import add_run_arguments, choose_run
from kerasft.runs.resume import Resumed
from kerasft.runs.terminal import build_progress
from kerasft.studies import seeds
from kerasft.studies.series import Series, refuse_seed

_SEEDS = "<recipe>_seeds"  # folder prefix: runs/imdb_seeds-20261125-103000


def run_pipeline(
    pipeline: str, argv: Sequence[str] | None = None, *, shorthands: Sequence[Shorthand] = ()
) -> None:
    """Runs a pipeline from its command line.

    Args:
        pipeline: Its name, also the name of its default recipe.
        argv: The arguments; `None` takes those of the process.
        shorthands: Options of this pipeline, each of which sets a recipe field.
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


def run_from_arguments(arguments: argparse.Namespace, usual_recipe: str | None = None) -> None:
    """Starts or resumes a run, or a series of seeds, and prints the results.

    `arguments` has `recipe`, `seeds`, `resume`, `runs_folder`, `json`, `overrides` and `command`.
    """
    if wants_series(arguments):
        _run_seeds(arguments, usual_recipe)
        return
    recipe, resumed = choose_run(arguments, usual_recipe)
    with results_only():
        run = run_one(arguments, recipe, resumed)
    if run is None:
        return  # the chief reports it
    if arguments.json:
        print_json(run.to_json())
    else:
        print_run(run)


def run_one(arguments: argparse.Namespace, recipe: Recipe, resumed: Resumed) -> Run | None:
    """Runs the recipe or resumed run from `choose_run`; returns `None` unless this is the chief."""
    # Imports TensorFlow, hence only after the recipe is validated.
    from kerasft.runs import train

    return train.run(
        recipe,
        resume=resumed.run_dir,
        from_step=resumed.step,
        callbacks=[build_progress(recipe, plain=arguments.json)],
        runs_folder=arguments.runs_folder,
        same_data_as=arguments.same_data_as,
    )


def _run_seeds(arguments: argparse.Namespace, usual_recipe: str | None) -> None:
    names = [] if arguments.recipe is None else [arguments.recipe]
    series = choose_series(arguments, _SEEDS, names, lambda: _plan_seeds(arguments, usual_recipe))
    if len(series.recipes) > 1:
        raise UserError(
            "The folder holds runs of several recipes.",
            received=", ".join(recipe.name for recipe in series.recipes),
            expected="runs of one recipe, with several seeds",
            fix="go on with the command that began them.",
        )
    series = series.begin(_SEEDS, arguments.runs_folder)
    with results_only():
        found = seeds.run_seeds(series, reporting_to(arguments, arguments.command))
    ((name, runs),) = found.runs.items()
    figures, model = seeds.spreads(runs), found.models.get(name)
    if not arguments.json:
        print_seeds(runs, figures, model)
        return
    print_json(
        {
            "run_dir": str(series.folder.path),
            "run_dirs": [str(run.run_dir.path) for run in runs],
            "seeds": [run.seed for run in runs],
            "best_seed": found.best_seed(name),
            "saved_model": model,
            "metrics": seeds.flat(figures),
        }
    )


def _plan_seeds(arguments: argparse.Namespace, usual_recipe: str | None) -> Series:
    name = arguments.recipe or usual_recipe
    if name is None:
        raise UserError(
            "Which recipe?", expected="its name", fix="kerasft run imdb_quick --seeds 3"
        )
    recipe = load_recipe(name, arguments.overrides)
    require_train_files(recipe)
    refuse_seed(recipe, arguments.seeds)
    return Series((recipe,), arguments.seeds)
