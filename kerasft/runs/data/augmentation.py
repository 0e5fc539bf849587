"""What alters the training texts of a run, made out of its recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerasft.data.batches.augmentation import Augmentation
from kerasft.data.batches.augmented_batches import AugmentedExamples
from kerasft.data.sources.raw_texts import read_raw_texts
from kerasft.errors import UserError
from kerasft.models.presets import Preset
from kerasft.recipe import Recipe
from kerasft.recipe.conflicts import augments
from kerasft.runs.data.source import split_names
from kerasft.runs.model.assembly import build_preprocessor
from kerasft.text.wordpiece import PADDING, SEPARATOR, START, UNKNOWN

if TYPE_CHECKING:
    from kerasft.runs.data.data import Data


def check_augmentation(recipe: Recipe, preset: Preset) -> None:
    """Refuses what the preset would not see.

    Raises:
        UserError: If words are to change their case, and the preset reads them in lower case.
    """
    casing = recipe.augmentation.casing
    if casing and preset.lowercase:
        raise UserError(
            "A change of case does nothing to a preset that reads all text in lower case.",
            received=f"augmentation.casing={casing} with {preset.name}",
            expected="a cased preset; kerasft presets lists them",
            fix="leave augmentation.casing out, or set another model.preset.",
        )


def build_augmented_examples(
    recipe: Recipe, preset: Preset, data: Data
) -> AugmentedExamples | None:
    """Builds the altered training examples; reads the raw texts if words are altered.

    Args:
        recipe: The recipe.
        preset: The encoder.
        data: From `load_data`.

    Returns:
        `None` where the recipe alters nothing.
    """
    if not augments(recipe):
        return None
    chances = recipe.augmentation
    augmentation = Augmentation(
        share=chances.share,
        deletion=chances.deletion,
        swap=chances.swap,
        typos=chances.typos,
        casing=chances.casing,
        word_dropout=chances.word_dropout,
        seed=recipe.training.seed,
    )
    store, indices = data.examples("train")
    texts, vocabulary = None, list(preset.vocabulary)
    if augmentation.alters_words:
        split = split_names(recipe)["train"]
        texts = read_raw_texts(data.source, split, indices, text_hashes=store.text_hashes)
    return AugmentedExamples(
        store,
        indices,
        texts,
        augmentation,
        build_preprocessor(recipe, preset, sequence_length=recipe.training.sequence_length),
        unknown_id=vocabulary.index(UNKNOWN),
        special_ids=[vocabulary.index(token) for token in (PADDING, START, SEPARATOR)],
    )
