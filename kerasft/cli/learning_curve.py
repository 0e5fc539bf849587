"""`kerasft learning-curve`: what more training examples bring."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kerasft.cli import command_parser
from kerasft.console import log, print_json, results_only
from kerasft.metrics.spread import show_figure
from kerasft.runs.arguments import add_run_arguments
from kerasft.runs.terminal import build_progress
from kerasft.studies.learning_curve.plan import SERIES, USUAL_SEEDS, make_plan
from kerasft.tables import build_table, print_table

if TYPE_CHECKING:
    from kerasft.metrics.spread import Spread
    from kerasft.studies.learning_curve.curve import Curve


def main(argv: Sequence[str]) -> None:
    """Runs a recipe with several sizes of its training set, and prints the curve."""
    parser = command_parser(
        "learning-curve",
        "Each size is run with each seed and measured on the same examples. Nothing is exported.",
    )
    parser.add_argument(
        "recipe",
        nargs="?",
        metavar="RECIPE",
        help="name of a recipe, or a TOML file; may be left out with --resume FOLDER",
    )
    parser.add_argument(
        "--sizes", metavar="N,N,...", help="numbers of training examples: 100,300,1000,3000"
    )
    add_run_arguments(
        parser,
        seeds_help=f"run with seeds 1 to N ({USUAL_SEEDS}; one alone where training.seed is given)",
    )
    arguments = parser.parse_intermixed_args(argv)
    plan = make_plan(arguments)
    recipe = plan.recipe or plan.series.recipes[0]
    with results_only():
        from kerasft.studies.learning_curve.running import run_curve

        curve, folder = run_curve(
            plan,
            new_callbacks=lambda: [build_progress(recipe, plain=arguments.json)],
            log=log,
        )
    files = {kind: str(folder.path / f"{SERIES}.{kind}") for kind in ("csv", "json", "png")}
    if arguments.json:
        print_json({"run_dir": str(folder.path), **curve.to_json(), "files": files})
    else:
        _print(curve, files)


def _print(curve: Curve, files: dict[str, str]) -> None:
    header = ("training examples", curve.metric, "training", "seeds")
    rows = [
        (f"{p.size:,}", _show(p.figure), f"{p.seconds.mean:,.0f} s", str(len(p.seeds)))
        for p in curve.points
    ]
    print_table(build_table(header, rows, text_columns=0, wrap=False))
    lines = [curve.conclude(), *curve.notes, ""]
    lines += [f"curve      {files['csv']}", f"plot       {files['png']}"]
    lines += [f"runs       {Path(files['csv']).parent}"]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _show(figure: Spread) -> str:
    if math.isnan(figure.mean):
        return "undefined"
    deviation = "" if figure.std is None else f" ± {show_figure(figure.std)}"
    return f"{show_figure(figure.mean)}{deviation}"
