"""Settings that exclude each other: refused when the recipe is read, with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kerasft.errors import UserError
from kerasft.recipe.learning_conflicts import find_learning_conflicts
from kerasft.recipe.performance_conflicts import find_performance_conflicts

if TYPE_CHECKING:
    from kerasft.recipe.load import Recipe
    from kerasft.recipe.sections import DataSettings

FILES = "files"
_FILE_SETTINGS = (
    *("train_files", "validation_files", "test_files", "text_column", "text_pair_column"),
    *("label_column", "label_columns", "group_column", "label_separator"),
)


def require_train_files(recipe: Recipe) -> None:
    """Checks that a run on files is told which; a recipe may leave that to the command line.

    Raises:
        UserError: The dataset is "files", and there are none to train on.
    """
    if recipe.data.dataset == FILES and not recipe.data.train_files:
        raise UserError(
            f"The recipe {recipe.name} names no files to train on.",
            expected="data.train_files, for which --train of the pipeline classify stands",
            fix="python -m kerasft.pipelines.classify --train reviews.csv --text body "
            "--label stars",
        )


def augments(recipe: Recipe) -> bool:
    """Tells whether training texts are altered: whether any chance of `[augmentation]` is set."""
    chances = recipe.augmentation
    return any(
        (chances.deletion, chances.swap, chances.word_dropout, chances.typos, chances.casing)
    )


def find_conflicts(recipe: Recipe) -> Iterator[str]:
    """Yields one sentence for each pair of settings that cannot stand together."""
    yield from _file_conflicts(recipe)
    yield from _window_conflicts(recipe)
    yield from _balance_conflicts(recipe)
    yield from _augmentation_conflicts(recipe)
    yield from find_learning_conflicts(recipe)
    yield from find_performance_conflicts(recipe)


def _file_conflicts(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    if data.dataset == FILES:
        if data.data_dir is not None or data.validation_split is not None:
            yield (
                "data.data_dir and data.validation_split name a TFDS dataset; with "
                'data.dataset="files" give data.validation_files.'
            )
        if data.label_columns:
            yield from _label_column_conflicts(data)
        return
    for key in _FILE_SETTINGS:
        if getattr(data, key):
            yield f'data.{key} needs data.dataset="files", and that is "{data.dataset}".'
    if data.label_kind != "auto":
        yield f'data.label_kind needs data.dataset="files": TFDS knows the kind of {data.dataset}.'


def _label_column_conflicts(data: DataSettings) -> Iterator[str]:
    if data.label_column is not None or data.label_separator is not None:
        yield (
            "data.label_columns name the labels, and data.label_column or data.label_separator is "
            "set, too: keep one of them."
        )
    if data.label_kind not in ("auto", "multi"):
        yield f'data.label_columns hold several labels to a text, not "{data.label_kind}".'
    if len(data.label_columns) < 2:
        yield "data.label_columns names one column: name it in data.label_column."


def _window_conflicts(recipe: Recipe) -> Iterator[str]:
    model, training = recipe.model, recipe.training
    if model.truncation != "windows":
        if model.window_stride is not None:
            yield 'model.window_stride needs model.truncation="windows".'
        return
    if model.window_stride is not None and model.window_stride > model.sequence_length - 2:
        yield (
            f"model.window_stride={model.window_stride} would skip tokens: at most "
            f"model.sequence_length - 2 = {model.sequence_length - 2}."
        )
    if training.sequence_length not in (None, model.sequence_length):
        yield (
            'training.sequence_length with model.truncation="windows": training reads the same '
            "windows as serving. Leave training.sequence_length out."
        )
    if training.jit_compile:
        yield (
            'training.jit_compile with model.truncation="windows": XLA cannot compile a number of '
            "windows that changes from batch to batch."
        )


def _balance_conflicts(recipe: Recipe) -> Iterator[str]:
    if recipe.data.oversample and recipe.training.class_weights is not None:
        yield (
            "data.oversample and training.class_weights both balance the classes: together they "
            "would do it twice. Keep one."
        )


def _augmentation_conflicts(recipe: Recipe) -> Iterator[str]:
    share, mode = recipe.augmentation.share, recipe.training.mode
    if not augments(recipe):
        if share < 1:
            yield (
                f"augmentation.share={share} alters nothing: deletion, swap, word_dropout, typos "
                "and casing are all 0. Set one of them, or leave augmentation.share out."
            )
    elif mode == "features":
        yield (
            '[augmentation] with training.mode="features": the encoder reads each text once, and '
            "no epoch could alter it. Leave one of them out."
        )
