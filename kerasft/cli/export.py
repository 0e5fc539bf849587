"""`kerasft export`: a new version of the SavedModel out of a run's best checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.console import results_only
from kerasft.errors import UserError
from kerasft.pipelines.command import build_progress
from kerasft.pipelines.printing import predict_command
from kerasft.recipe import describe_fields
from kerasft.run_dir import open_run_dir


def main(argv: Sequence[str]) -> None:
    """Exports a run and prints the folder of the new version."""
    parser = command_parser("export")
    parser.add_argument("run_dir", metavar="RUN_DIR", help="a folder under runs/")
    parser.add_argument("--name", help="folder of the model; else as the run's recipe says")
    arguments = parser.parse_args(argv)
    _check_name(arguments.name)
    run_dir = open_run_dir(arguments.run_dir)
    with results_only():
        from kerasft.pipelines import workflow

        saved_model = workflow.export_run(run_dir, [build_progress()], arguments.name)
    print(saved_model)  # alone on stdout, for a script to take
    has_pairs = run_dir.read_json("metrics.json")["has_pairs"]
    command = predict_command(saved_model.parent, has_pairs=has_pairs)
    print(f"Next: {command}", file=sys.stderr)


def _check_name(name: str | None) -> None:
    """Holds `--name` to what `export.name` may be, which it stands for."""
    (setting,) = (field for field in describe_fields() if field.name == "export.name")
    if name is not None and setting.find_fault(name):
        raise UserError("--name is not usable.", received=name, expected=setting.expected)
