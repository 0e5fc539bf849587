"""`kerasft compare`: how several runs differ, and whether the difference is noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerasft.cli import command_parser
from kerasft.console import print_json, print_lines, results_only
from kerasft.studies.compare.compared_runs import choose_split, open_runs
from kerasft.tables import build_table, print_table

if TYPE_CHECKING:
    from kerasft.studies.compare.comparison import Comparison


def main(argv: Sequence[str]) -> None:
    """Prints the settings and metrics that differ between runs, and tests the differences."""
    parser = command_parser(
        "compare",
        "Runs that were tested on the same examples get a paired test: McNemar's for accuracy, "
        "the paired bootstrap for other metrics; of several, adjusted by Holm.",
    )
    parser.add_argument("runs", nargs="+", metavar="RUN_DIR", help="folders under runs/")
    parser.add_argument("--split", help="compare on this split (test, else validation)")
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        help="test this metric, such as f1_macro; may be given again (the task's headline)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    arguments = parser.parse_intermixed_args(argv)
    choose_split(open_runs(arguments.runs), arguments.split)  # before TensorFlow is imported
    with results_only():
        from kerasft.studies.compare.comparing import compare_runs

        comparison = compare_runs(arguments.runs, split=arguments.split, metrics=arguments.metric)
    if arguments.json:
        print_json(comparison.to_json())
    else:
        _print(comparison)


def _print(comparison: Comparison) -> None:
    from kerasft.metrics.spread import show_figure

    names = [run.name for run in comparison.runs]
    print_lines(f"{run.name}  {run.run_dir.path}" for run in comparison.runs)
    if comparison.settings:
        rows = [[key, *map(_setting, row)] for key, row in comparison.settings.items()]
        print_table(build_table(["setting", *names], rows))
    else:
        print_lines(["", "No setting differs.", ""])
    rows = [[name, *map(show_figure, row)] for name, row in comparison.metrics.items()]
    print_table(build_table([f"metric ({comparison.split})", *names], rows))
    header, rows = _test_rows(comparison)
    if rows:
        print_table(build_table(header, rows))
    print_lines([*comparison.conclusions(), *comparison.notes])


def _test_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    several = len(comparison.tests) > 1
    header = ["paired test", "runs", "difference", "95 % interval", "p"]
    rows = []
    for test in comparison.tests:
        if test.is_noise is None:
            continue  # undefined: a sentence says so
        ends = f"{test.difference.lower:+.4f} to {test.difference.upper:+.4f}"
        row = [f"{test.metric}, {test.method.split(',')[0]}", f"{test.second} - {test.first}"]
        row += [f"{test.difference.estimate:+.4f}", ends, f"{test.difference.p_value:.2g}"]
        rows.append([*row, f"{test.p_adjusted:.2g}"] if several else row)
    return [*header, "adjusted"] if several else header, rows


def _setting(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return "unset" if value is None else str(value)
