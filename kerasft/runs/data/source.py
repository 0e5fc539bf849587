"""The source of a run's examples: the dataset or files of its recipe, inspected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from kerasft.data.files.source import FileSource
from kerasft.data.inspection.inspection import UNTRUNCATED, inspect_source
from kerasft.data.sources.source import Source, load_source
from kerasft.recipe import Recipe
from kerasft.recipe.conflicts import FILES, require_train_files
from kerasft.text.wordpiece import WINDOWS, WordPiecePreprocessor

VALIDATION, TEST = "validation", "test"


def open_source(recipe: Recipe, *, log: Callable[[str], None]) -> Source:
    """Opens the recipe's dataset or files; logs what was found and guessed."""
    data = recipe.data
    if data.dataset != FILES:
        return load_source(data.dataset, data.data_dir, recipe.may_fall_back, log=log)
    require_train_files(recipe)
    return FileSource(
        train_files=data.train_files,
        validation_files=data.validation_files,
        test_files=data.test_files,
        format=data.format,
        delimiter=data.delimiter,
        text_column=data.text_column,
        text_pair_column=data.text_pair_column,
        label_column=data.label_column,
        label_columns=data.label_columns,
        group_column=data.group_column,
        label_kind=data.label_kind,
        label_separator=data.label_separator,
        log=log,
    )


def split_names(recipe: Recipe) -> dict[str, str]:
    """Returns the dataset's own name of each split, by the run's name for it.

    The first test split is `test`, further ones are `test_<own name>`. Without a validation split
    of its own, a run holds one out of train.
    """
    data = recipe.data
    validation, tests = data.validation_split, data.test_splits
    if data.dataset == FILES:
        validation = VALIDATION if data.validation_files else None
        tests = (TEST,) if data.test_files else ()
    names = {"train": data.train_split, VALIDATION: validation or data.train_split}
    return names | {f"{TEST}_{own}" if rank else TEST: own for rank, own in enumerate(tests)}


def tested_splits(recipe: Recipe, test_names: Sequence[str]) -> tuple[str, ...]:
    """Returns the splits that a run is tested on at its end; none if `evaluation.test` is off.

    The texts of all `test_names` are kept out of training in either case.
    """
    return tuple(test_names) if recipe.evaluation.test else ()


def evaluation_data(recipe: Recipe, source: Source, splits: Sequence[str]) -> dict[str, str]:
    """Returns the source of each split's examples: `b.csv`, `glue/mnli (validation)`."""
    names, found = split_names(recipe), {}
    for split in splits:
        own = names[split]
        if split == VALIDATION and own == names["train"]:
            found[split] = f"{source.name} (held out of {own})"
        elif isinstance(source, FileSource):
            found[split] = source.name_of(own)
        else:
            found[split] = f"{source.name} ({own})"
    return found


def left_out(
    recipe: Recipe, source: Source, report: Mapping[str, int]
) -> dict[str, dict[str, int]]:
    """Returns how many examples are left out, by split and reason: `{"train": {"no text": 3}}`.

    File sources drop rows without text or label. `report` counts the examples that splitting
    leaves out of training or by a subset.
    """
    names = split_names(recipe)
    found: dict[str, dict[str, int]] = {split: {} for split in names}
    for split, own in names.items():
        # Rows of train are counted once, even if validation is held out of it.
        if isinstance(source, FileSource) and (split == "train" or own != names["train"]):
            found[split] = source.num_dropped(own)
    for name, count in report.items():
        split, marker, reason = name.partition("_left_out_")
        if marker and count:
            found[split][reason.replace("_", " ")] = count
    return {split: reasons for split, reasons in found.items() if reasons}


def group_hashes(source: Source, names: Mapping[str, str], given: bool) -> dict[str, np.ndarray]:
    """Returns the group hashes by split, for splits that have groups.

    `given`: whether validation is a split of its own.
    """
    if not isinstance(source, FileSource):
        return {}
    hashes = {
        name: source.group_hashes(own) for name, own in names.items() if name != VALIDATION or given
    }
    return {name: groups for name, groups in hashes.items() if groups is not None}


def inspect(
    recipe: Recipe,
    preprocessor: WordPiecePreprocessor,
    source: FileSource,
    *,
    log: Callable[[str], None],
) -> None:
    """Inspects the user's files before training; raises `UserError` if they cannot be used.

    Lengths are reported in tokens of `preprocessor`; `log` gets the findings.
    """
    measure = preprocessor.variant(sequence_length=UNTRUNCATED, truncation="head")
    windows = recipe.model.max_windows if recipe.model.truncation == WINDOWS else 1
    inspection = inspect_source(
        source,
        preprocessor=measure,
        sequence_length=recipe.model.sequence_length * windows,
        splits=list(dict.fromkeys(split_names(recipe).values())),
    )
    for line in inspection.to_lines():
        log(line)
    inspection.check()
