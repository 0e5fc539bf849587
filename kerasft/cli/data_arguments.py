"""The options for the user's own data: `--train reviews.csv --label stars`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from kerasft.cli.shorthands import Shorthand
from kerasft.console import results_only
from kerasft.errors import UserError, nearest

# imdb_reviews, glue/sst2, glue/sst2:2.0.0; a suffix or glob characters make it a file.
_DATASET = re.compile(r"[a-z][a-z0-9_-]*(/[\w-]+)*(:\d+\.\d+\.\d+)?")


def choose_train_field(values: Sequence[str], option: str = "--train") -> str:
    """Returns the field that the values of `--train` set: `data.dataset` for a TFDS name.

    An existing file or folder takes precedence over a TFDS dataset of the same name.

    Args:
        values: Files, folders or globs; or one TFDS name.
        option: The option's name, for the message.

    Raises:
        UserError: If a single word is neither a file nor a dataset.
    """
    name = values[0]
    if len(values) > 1 or Path(name).expanduser().exists() or not _DATASET.fullmatch(name):
        return "data.train_files"
    with results_only():
        known = _known_datasets()
    if name.partition(":")[0].partition("/")[0] in known:
        return "data.dataset"
    here = [path.name for path in Path.cwd().iterdir()]
    raise UserError(
        f"There is no such file, and no such dataset is known to TFDS.{nearest(name, here)}"
        f"{nearest(name, known)}",
        received=f"{option} {name}".strip(),
        expected="a file (reviews.csv), a folder of text files by class, or a TFDS name "
        "(imdb_reviews, glue/sst2)",
    )


def choose_label_field(values: Sequence[str]) -> str:
    """Returns the field that the values of `--label` set: one column, or one per label."""
    return "data.label_columns" if len(values) > 1 else "data.label_column"


def _known_datasets() -> set[str]:
    """Returns TFDS's dataset names, and the other names that are accepted."""
    import tensorflow_datasets as tfds

    from kerasft.data.sources.source import BUILTIN_SAMPLE, search_folders

    prepared = {
        path.name for folder in search_folders() for path in folder.glob("*") if path.is_dir()
    }
    return {*tfds.list_builders(with_community_datasets=False), *prepared, BUILTIN_SAMPLE}


DATA_ARGUMENTS = (
    Shorthand(
        "--train",
        "data.train_files",
        "what to train on: files, globs or a folder; or a TFDS name",
        many=True,
        metavar="FILE",
        choose_field=choose_train_field,
    ),
    Shorthand(
        "--validation",
        "data.validation_files",
        "what to validate on; else held out of train",
        many=True,
        metavar="FILE",
    ),
    Shorthand(
        "--test",
        "data.test_files",
        "what to test on; else the run ends with validation",
        many=True,
        metavar="FILE",
    ),
    Shorthand("--text", "data.text_column", "column of the text", metavar="COLUMN"),
    Shorthand("--text-pair", "data.text_pair_column", "column of a second text", metavar="COLUMN"),
    Shorthand(
        "--label",
        "data.label_columns",
        "column of the label; or several of 0 and 1, one for each label",
        many=True,
        metavar="COLUMN",
        choose_field=choose_label_field,
    ),
    Shorthand(
        "--group",
        "data.group_column",
        "column whose equal values stay in one split",
        metavar="COLUMN",
    ),
    Shorthand("--format", "data.format", "csv, tsv, jsonl, parquet or folder", metavar="FORMAT"),
    Shorthand("--delimiter", "data.delimiter", "between the cells of CSV and TSV", metavar="SIGN"),
    Shorthand("--label-kind", "data.label_kind", "single, multi or number", metavar="KIND"),
    Shorthand(
        "--label-separator",
        "data.label_separator",
        "what stands between the labels of a text",
        metavar="TEXT",
    ),
    Shorthand("--name", "export.name", "name of the exported model", metavar="NAME"),
)
