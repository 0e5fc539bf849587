"""`kerasft run`: runs a recipe from data to exported model."""

from __future__ import annotations

from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.cli.run_command import run_from_arguments
from kerasft.run_dir import open_run_dir
from kerasft.runs.arguments import add_recipe, add_run_arguments, is_override


def main(argv: Sequence[str]) -> None:
    """Runs a recipe, as `python -m kerasft.pipelines.<name> --recipe ...` does."""
    parser = command_parser("run")
    add_recipe(parser, "RUN_DIR")
    add_run_arguments(parser)
    parser.add_argument(
        "--runs-folder",
        default="runs",
        metavar="FOLDER",
        help="where the run directory of a new run is made (%(default)s)",
    )
    parser.add_argument(
        "--same-data-as",
        type=open_run_dir,
        metavar="RUN_DIR",
        help="refuse data other than what that run began with",
    )
    parser.set_defaults(command=parser.prog)
    arguments = parser.parse_intermixed_args(argv)
    if arguments.recipe is not None and is_override(arguments.recipe):
        # `--resume RUN_DIR training.epochs=5`: no recipe is named.
        arguments.overrides = [arguments.recipe, *arguments.overrides]
        arguments.recipe = None
    run_from_arguments(arguments)
