"""`[data]`: the examples, and how they are read."""

from __future__ import annotations

import dataclasses

from kerasft.recipe.rules import DELIMITER, DISTINCT, SEPARATOR, at_least, inside, one_of, setting


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """`[data]`: the examples."""

    dataset: str = setting(
        "imdb_reviews", 'A TFDS name, "files" for files of your own, or "builtin-sample".'
    )
    data_dir: str | None = setting(None, "The only TFDS folder looked in; unset: the usual places.")
    train_split: str = setting("train", "The dataset's split to train on.")
    validation_split: str | None = setting(
        None, "The dataset's split to validate on; unset: held out of train."
    )
    test_splits: tuple[str, ...] = setting(
        ("test",),
        "The dataset's splits to test on. Metrics of the first are test/..., of another "
        "test_<split>/...; none: the run ends with validation.",
        DISTINCT,
    )
    train_files: tuple[str, ...] = setting(
        (), 'Files to train on, or globs, or a folder with one folder a class (dataset="files").'
    )
    validation_files: tuple[str, ...] = setting(
        (), "Files to validate on; none: held out of train."
    )
    test_files: tuple[str, ...] = setting((), "Files to test on; none: the run has no test.")
    format: str = setting(
        "auto",
        "Format of the files; auto: by their names. Each may be gzipped.",
        one_of("auto", "csv", "tsv", "jsonl", "parquet", "folder"),
    )
    delimiter: str | None = setting(
        None, "What stands between the cells of CSV and TSV; unset: found, and said.", DELIMITER
    )
    text_column: str | None = setting(None, "Column of the text; unset: guessed, and said.")
    text_pair_column: str | None = setting(None, "Column of the second text; unset: none.")
    label_column: str | None = setting(None, "Column of the label; unset: guessed, and said.")
    label_columns: tuple[str, ...] = setting(
        (),
        "Columns of 0 and 1, one for each label of a text, in place of label_column.",
        DISTINCT,
    )
    group_column: str | None = setting(
        None, "Column whose equal values never stand in two splits; unset: none."
    )
    label_kind: str = setting(
        "auto",
        "One label a text, several, or a number; auto: detected, and said (files only).",
        one_of("auto", "single", "multi", "number"),
    )
    label_separator: str | None = setting(
        None, "What stands between several labels in a cell; unset: detected.", SEPARATOR
    )
    oversample: bool = setting(
        False, "Repeat examples of the smaller classes in training until all are equal."
    )
    train_examples: int | None = setting(
        None,
        "Train on so many, drawn by training.seed; validation shrinks with it. Unset: all.",
        at_least(1),
    )
    test_examples: int | None = setting(
        None, "Test on so many, drawn by training.seed; unset: all.", at_least(1)
    )
    validation_fraction: float = setting(
        0.1, "Share of train held out for validation, by a hash of the text.", inside(0, 1)
    )
    break_tags: str = setting(
        "space", "What becomes of <br /> tags: a space, or kept.", one_of("space", "keep")
    )
    keep_train_test_duplicates: bool = setting(
        False, "Train also on texts that stand in test as well."
    )
    allow_builtin_sample: bool = setting(
        False,
        "Fall back on the built-in sample when the data cannot be had (shipped recipes only).",
    )
