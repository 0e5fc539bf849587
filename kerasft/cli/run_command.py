"""The command line that all pipelines share: arguments in, a finished run out, told to people."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from kerasft.cli.printing import print_run
from kerasft.cli.shorthands import Shorthand, add_shorthands, expand_shorthands
from kerasft.console import print_json, results_only
from kerasft.runs.arguments import add_run_arguments, choose_run
from kerasft.runs.terminal import build_progress
from kerasft.studies import seeds


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


def run_from_arguments(arguments: argparse.Namespace, usual_recipe: str | None = None) -> None:
    """Starts or resumes a run, and prints what came of it.

    Args:
        arguments: `recipe`, `seeds`, `resume`, `runs_folder`, `json`, `overrides`, and the
            `command` that they stand behind.
        usual_recipe: The recipe when none is named.

    Raises:
        UserError: For a mistake in arguments, recipe, data or surroundings.
    """
    if seeds.wants_series(arguments):
        seeds.run_from_arguments(arguments, usual_recipe)
        return
    recipe, resumed = choose_run(arguments, usual_recipe)
    with results_only():
        # Only now, when the recipe is known to be good: this imports TensorFlow.
        from kerasft.runs import train

        callbacks = [build_progress(recipe, plain=arguments.json)]
        run = train.run(
            recipe,
            resume=resumed.run_dir,
            from_step=resumed.step,
            callbacks=callbacks,
            runs_folder=arguments.runs_folder,
            same_data_as=arguments.same_data_as,
        )
    if run is None:
        return  # the chief's process tells it
    if arguments.json:
        print_json(run.to_json())
    else:
        print_run(run)
