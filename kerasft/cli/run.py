"""`kerasft run`: a recipe from its data to the exported model."""

from __future__ import annotations

from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.pipelines.command import add_run_arguments, run_from_arguments


def main(argv: Sequence[str]) -> None:
    """Runs a recipe, as `python -m kerasft.pipelines.<name> --recipe ...` does."""
    parser = command_parser("run")
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="name of a recipe, or a TOML file; may be left out with --resume RUN_DIR",
    )
    add_run_arguments(parser)
    parser.set_defaults(command=parser.prog)
    run_from_arguments(parser.parse_intermixed_args(argv))
