"""`kerasft evaluate`: the test metrics of a run's best checkpoint, recomputed."""

from __future__ import annotations

from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.cli.printing import print_metrics
from kerasft.console import print_json, results_only
from kerasft.run_dir import open_run_dir
from kerasft.runs.arguments import add_overrides
from kerasft.runs.terminal import build_progress


def main(argv: Sequence[str]) -> None:
    """Evaluates a run and prints its metrics."""
    parser = command_parser("evaluate")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="a folder under runs/")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    add_overrides(parser)
    arguments = parser.parse_intermixed_args(argv)
    run_dir = open_run_dir(arguments.run_dir)
    with results_only():
        from kerasft.runs import evaluate

        metrics = evaluate.evaluate_run(run_dir, [build_progress()], overrides=arguments.overrides)
    if arguments.json:
        print_json({"run_dir": str(run_dir.path), "metrics": metrics})
    else:
        print_metrics(metrics, next(iter(metrics)).partition("/")[0])
