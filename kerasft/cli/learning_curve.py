"""`kerasft learning-curve`: how much more training examples would help."""

from __future__ import annotations

import argparse
import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerasft.cli import command_parser
from kerasft.cli.series_arguments import choose_series, reporting_to
from kerasft.console import print_json, print_lines, program, results_only
from kerasft.errors import UserError
from kerasft.metrics.spread import show_figure
from kerasft.recipe import load_recipe
from kerasft.recipe.conflicts import require_train_files
from kerasft.runs.arguments import add_recipe, add_run_arguments
from kerasft.studies.learning_curve import running
from kerasft.studies.learning_curve.running import EXAMPLE, SERIES, USUAL_SEEDS
from kerasft.tables import build_table, print_table

if TYPE_CHECKING:
    from kerasft.metrics.spread import Spread
    from kerasft.studies.learning_curve.curve import Curve
    from kerasft.studies.series import Series


def main(argv: Sequence[str]) -> None:
    """Runs a recipe with several training-set sizes and prints the curve."""
    parser = command_parser(
        "learning-curve",
        "Each size is run with each seed and measured on the same examples. Nothing is exported.",
    )
    add_recipe(parser)
    parser.add_argument(
        "--sizes", metavar="N,N,...", help="numbers of training examples: 100,300,1000,3000"
    )
    add_run_arguments(
        parser,
        seeds_help=f"run with seeds 1 to N ({USUAL_SEEDS}; one alone where training.seed is given)",
    )
    arguments = parser.parse_intermixed_args(argv)
    sizes = None if arguments.sizes is None else running.read_sizes(arguments.sizes)
    names = [] if arguments.recipe is None else [arguments.recipe]
    open_named = functools.partial(running.open_curve, sizes=sizes)
    series = choose_series(arguments, SERIES, names, lambda: _plan(arguments, sizes), open_named)
    with results_only():
        command = f"{program('kerasft')} learning-curve"
        curve, folder = running.run_curve(series, reporting_to(arguments, command))
    files = {kind: str(folder.path / f"{SERIES}.{kind}") for kind in ("csv", "json", "png")}
    if arguments.json:
        print_json({"run_dir": str(folder.path), **curve.to_json(), "files": files})
    else:
        _print(curve, files)


def _plan(arguments: argparse.Namespace, sizes: Sequence[int] | None) -> Series:
    if arguments.recipe is None:
        raise UserError(
            "Which recipe?", expected="its name", fix=f"kerasft learning-curve imdb {EXAMPLE}"
        )
    if sizes is None:
        raise UserError(
            "How many training examples?",
            expected="--sizes with two whole numbers or more, rising",
            fix=f"kerasft learning-curve {arguments.recipe} {EXAMPLE}",
        )
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    require_train_files(recipe)
    return running.plan_curve(recipe, sizes, arguments.seeds)


def _print(curve: Curve, files: dict[str, str]) -> None:
    header = ("training examples", curve.metric, "training", "seeds")
    rows = [
        (f"{p.size:,}", _show(p.figure), f"{p.seconds.mean:,.0f} s", str(len(p.seeds)))
        for p in curve.points
    ]
    print_table(build_table(header, rows, text_columns=0, wrap=False))
    print_lines([curve.conclude(), *curve.notes, ""])
    print_lines([f"curve      {files['csv']}", f"plot       {files['png']}"])
    print_lines([f"runs       {Path(files['csv']).parent}"])


def _show(figure: Spread) -> str:
    if math.isnan(figure.mean):
        return "undefined"
    deviation = "" if figure.std is None else f" ± {show_figure(figure.std)}"
    return f"{show_figure(figure.mean)}{deviation}"
