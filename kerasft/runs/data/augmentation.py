"""Text augmentation of a run, built from its recipe."""

from __future__ import annotations

from kerasft.data.batches.augmentation import Augmentation
from kerasft.data.batches.augmented_batches import AugmentedExamples
from kerasft.data.sources.raw_texts import read_raw_texts
from kerasft.recipe import Recipe
from kerasft.recipe.conflicts import augments
from kerasft.runs.data.data import Data
from kerasft.runs.data.source import split_names
from kerasft.runs.model.assembly import training_preprocessor
from kerasft.text.wordpiece import PADDING, SEPARATOR, START, UNKNOWN, WordPiecePreprocessor


def build_augmented_examples(
    recipe: Recipe, preprocessor: WordPiecePreprocessor, data: Data
) -> AugmentedExamples | None:
    """Builds the augmented training examples; `None` if the recipe augments nothing.

    The raw texts are read if words are altered. `preprocessor` is that of evaluation.
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
    texts, vocabulary = None, preprocessor.vocabulary
    if augmentation.alters_words:
        split = split_names(recipe)["train"]
        texts = read_raw_texts(data.source, split, indices, text_hashes=store.text_hashes)
    return AugmentedExamples(
        store,
        indices,
        texts,
        augmentation,
        training_preprocessor(recipe, preprocessor),
        unknown_id=vocabulary.index(UNKNOWN),
        special_ids=[vocabulary.index(token) for token in (PADDING, START, SEPARATOR)],
    )
