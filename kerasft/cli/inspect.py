"""`kerasft inspect`: the content of data files, problems in it, and how to fix them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kerasft.cli import command_parser
from kerasft.console import print_json, results_only
from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.recipe.rules import DELIMITER

if TYPE_CHECKING:
    from rich.table import Table

    from kerasft.data.inspection import Inspection
    from kerasft.data.inspection.facts import Lengths, SplitFacts
    from kerasft.data.sources.source import Source

# The last ones are those of glue/mnli.
_TFDS_SPLITS = (
    "train",
    "validation",
    "test",
    *(f"{split}_{kind}" for split in ("validation", "test") for kind in ("matched", "mismatched")),
)
_MOST_LABELS = 20  # in the table
_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


def main(argv: Sequence[str]) -> None:
    """Prints an inspection, problems first; data unfit for training is a user error."""
    arguments = _build_parser().parse_args(argv)
    length = arguments.sequence_length or load_recipe("classify").model.sequence_length
    with results_only():
        from kerasft.data.inspection import inspect_source, length_preprocessor

        source = _open_source(arguments)
        vocabulary = _load_vocabulary()
        preprocessor = None if vocabulary is None else length_preprocessor(vocabulary)
        inspection = inspect_source(
            source, preprocessor=preprocessor, sequence_length=length, splits=_TFDS_SPLITS
        )
    findings = list(getattr(source, "findings", ()))
    if arguments.json:
        print_json(inspection.to_json() | {"findings": findings})
    else:
        _print(inspection, findings)
    inspection.check()


def _build_parser() -> argparse.ArgumentParser:
    parser = command_parser(
        "inspect",
        "Problems come first, each with what to do. Exit code 2 if the data cannot be trained on. "
        "Lengths are in tokens of the default encoder, or in words where it is not installed.",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="what to train on: files, globs or a folder; or a TFDS name",
    )
    parser.add_argument("--validation", nargs="+", default=(), metavar="FILE", help="to validate")
    parser.add_argument("--test", nargs="+", default=(), metavar="FILE", help="to test")
    parser.add_argument("--text", metavar="COLUMN", help="column of the text; else guessed")
    parser.add_argument("--text-pair", metavar="COLUMN", help="column of a second text")
    parser.add_argument(
        "--label",
        nargs="+",
        default=(),
        metavar="COLUMN",
        help="column of the label, else guessed; or several of 0 and 1, one for each label",
    )
    parser.add_argument("--group", metavar="COLUMN", help="column whose values stay in one split")
    parser.add_argument(
        "--format",
        default="auto",
        choices=("auto", "csv", "tsv", "jsonl", "parquet", "folder"),
        help="else told by the files' names",
    )
    parser.add_argument(
        "--delimiter",
        type=_delimiter,
        metavar="SIGN",
        help="between the cells of CSV and TSV; else found",
    )
    parser.add_argument(
        "--label-kind",
        default="auto",
        choices=("auto", "single", "multi", "number"),
        help="else detected",
    )
    parser.add_argument("--label-separator", metavar="TEXT", help="between labels; else detected")
    parser.add_argument(
        "--sequence-length",
        type=_positive,
        metavar="N",
        help="the most tokens read of a text; else as in the recipe classify",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _delimiter(text: str) -> str:
    if not DELIMITER.accepts(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not {DELIMITER.expected}")
    return text


def _open_source(arguments: argparse.Namespace) -> Source:
    from kerasft.cli.data_arguments import choose_train_field
    from kerasft.data.files.source import FileSource
    from kerasft.data.sources.source import load_source

    if choose_train_field(arguments.files, option="") == "data.dataset":
        _refuse_file_options(arguments)
        return load_source(arguments.files[0])
    return FileSource(
        train_files=arguments.files,
        validation_files=arguments.validation,
        test_files=arguments.test,
        format=arguments.format,
        delimiter=arguments.delimiter,
        text_column=arguments.text,
        text_pair_column=arguments.text_pair,
        label_column=arguments.label[0] if len(arguments.label) == 1 else None,
        label_columns=arguments.label if len(arguments.label) > 1 else (),
        group_column=arguments.group,
        label_kind=arguments.label_kind,
        label_separator=arguments.label_separator,
    )


def _refuse_file_options(arguments: argparse.Namespace) -> None:
    usual = {"files", "json", "sequence_length"}
    given = [
        f"--{name.replace('_', '-')}"
        for name, value in vars(arguments).items()
        if name not in usual and value not in (None, (), "auto")
    ]
    if given:
        raise UserError(
            "A dataset of TFDS has splits, columns and labels of its own.",
            received=" ".join([arguments.files[0], *given]),
            fix="leave these options out.",
        )


def _load_vocabulary() -> list[str] | None:
    """Returns the default encoder's vocabulary; `None` if it is not installed."""
    from kerasft.models.presets import default_preset_candidates

    for folder in default_preset_candidates():
        if (folder / "vocab.txt").is_file():
            return (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    return None


def _print(inspection: Inspection, findings: Sequence[str]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False)
    for problem in inspection.problems:
        line = Text(problem.to_line())
        line.stylize(_STYLES[problem.level], 0, len(problem.level))
        console.print(line, soft_wrap=True)
    if not inspection.problems:
        console.print("Nothing is wrong with this data.")
    console.print()
    for finding in findings:
        console.print(Text(finding), soft_wrap=True)
    console.print(_build_table(inspection))


def _build_table(inspection: Inspection) -> Table:
    """Returns the content of the splits, one column each: rows, labels, lengths."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table("", box=box.SIMPLE_HEAD)
    for split in inspection.splits:
        table.add_column(split, justify="right")
    for section in _sections(list(inspection.splits.values())):
        for name, values in section:
            table.add_row(Text(name), *map(_cell, values))
        table.add_section()
    return table


def _sections(splits: Sequence[SplitFacts]) -> Iterator[list[tuple[str, list]]]:
    """Yields the rows of each section of the table: a name and one value per split."""
    yield [
        ("rows", [facts.rows for facts in splits]),
        ("different texts", [facts.distinct_texts for facts in splits]),
    ]
    train = splits[0]
    by_count = sorted(train.counts, key=lambda name: -train.counts[name])
    labels = [(name, [facts.counts[name] for facts in splits]) for name in by_count[:_MOST_LABELS]]
    if len(by_count) > _MOST_LABELS:
        more = by_count[_MOST_LABELS:]
        sums = [sum(facts.counts[name] for name in more) for facts in splits]
        labels.append((f"{len(more):,} more labels", sums))
    yield labels
    yield [
        (f"label, {percent} % at most", [facts.quantiles.get(percent) for facts in splits])
        for percent in train.quantiles
    ]
    if train.lengths is not None:
        yield list(_length_rows(train.lengths, [facts.lengths for facts in splits]))


def _length_rows(
    first: Lengths, lengths: Sequence[Lengths | None]
) -> Iterator[tuple[str, list[object]]]:
    for percent in first.percentiles:
        values = [found and found.percentiles[percent] for found in lengths]
        yield f"{first.unit}, {percent} % at most", values
    yield f"{first.unit}, longest", [found and found.longest for found in lengths]
    if first.limit is not None:
        shares = [found and f"{found.truncated_share:.1%}" for found in lengths]
        yield f"longer than {first.limit:,}", shares


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
