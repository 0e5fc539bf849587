"""Training batches with augmented texts, tokenized when their step is reached.

Order, labels, weights and padding are those of `token_batches.py`. A batch is a pure function of
seed, epoch and examples.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerasft.data.batches.augmentation import Augmentation
from kerasft.data.batches.token_batches import (
    Tokens,
    check_plan,
    gather_batch,
    gather_tokens,
    label_spec,
    map_steps,
)
from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.data.sources.raw_texts import RawTexts
from kerasft.data.store.token_store import TokenStore


@dataclasses.dataclass(frozen=True, eq=False)
class AugmentedExamples:
    """The training examples and their augmentation.

    Args:
        store: The tokens of the unaltered examples.
        indices: int64: the training examples in the store. An example's number is its position
            here: one that occurs twice is altered twice, differently.
        texts: Their raw texts, in the order of `indices`; needed only if words are altered.
        augmentation: The augmentation.
        preprocessor: The one that made the store: see `load_or_build_token_store`.
        unknown_id: The token that replaces a dropped one.
        special_ids: Tokens that are never dropped.

    Raises:
        ValueError: If words are to be altered, and there are no texts or too few.
    """

    store: TokenStore
    indices: np.ndarray
    texts: RawTexts | None
    augmentation: Augmentation
    preprocessor: Any
    unknown_id: int
    special_ids: Collection[int]
    _altered: dict[int, int] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        num_texts = 0 if self.texts is None else len(self.texts)
        if self.augmentation.alters_words and num_texts != len(self.indices):
            raise ValueError(f"Received {num_texts} texts for {len(self.indices)} examples.")

    def altered(self, step: int) -> int:
        """Returns how many examples of a step were altered; can be read once per step.

        Counts examples whose text differs from the raw text, or of which a token was dropped.

        Raises:
            KeyError: If the batch has not been made, or its count was read before.
        """
        return self._altered.pop(step)

    def record(self, step: int, num_altered: int) -> None:
        """Records how many examples of a step were altered."""
        self._altered[step] = num_altered

    def alter(self, epoch: int, examples: np.ndarray) -> tuple[np.ndarray, list[tuple[bytes, ...]]]:
        """Alters the words of some examples, given as int64 positions in `indices`.

        Returns the positions in `examples` whose text changed, int64 ascending, and their new
        texts.
        """
        rows, altered = [], []
        for row in np.flatnonzero(self.augmentation.chosen(epoch, examples)):
            example = int(examples[row])
            texts = self.texts[example]
            new = tuple(
                self.augmentation.alter(text, epoch=epoch, example=example, part=part)
                for part, text in enumerate(texts)
            )
            if new != texts:
                rows.append(row)
                altered.append(new)
        return np.array(rows, np.int64), altered

    def tokens(
        self, epoch: int, examples: np.ndarray, rows: np.ndarray, new: Tokens | None
    ) -> tuple[Tokens, int]:
        """Returns the tokens of some examples, and how many of these are altered.

        `examples` are int64 positions in `indices`; `rows` are the positions in `examples` whose
        text changed, and `new` the tokens of those, `None` if there are none.
        """
        tokens = gather_tokens(self.store, self.indices[np.delete(examples, rows)])
        is_altered = np.zeros(len(examples), bool)
        is_altered[rows] = True
        if new is not None:
            tokens = _merge(tokens, new, is_altered)
        token_ids = self.augmentation.drop_tokens(
            tokens.token_ids,
            tokens.lengths,
            epoch=epoch,
            examples=examples,
            unknown_id=self.unknown_id,
            special_ids=self.special_ids,
        )
        row_of_token = np.repeat(np.arange(len(examples)), tokens.lengths)
        is_altered[row_of_token[token_ids != tokens.token_ids]] = True
        return tokens._replace(token_ids=token_ids), int(np.count_nonzero(is_altered))


def build_augmented_dataset(
    examples: AugmentedExamples,
    plan: BatchPlan,
    *,
    start_step: int = 0,
    num_steps: int,
    pad_batch_to: int | None = None,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Returns the batches of steps `start_step` to `start_step + num_steps`, in order.

    They are those of `build_train_dataset`, except for the altered examples, and padded to the
    longest example after augmentation. The plan is made from the lengths of the unaltered examples.
    `examples.altered(step)` then returns how many of a step's examples were altered.

    Raises:
        UserError: If the plan was made for another number of examples.
    """
    check_plan(plan, examples.indices)

    def alter(step: np.ndarray) -> tuple[np.ndarray, ...]:
        rows, texts = examples.alter(int(step) // plan.steps_per_epoch, plan.batch(int(step)))
        parts = range(examples.texts.per_example)
        return rows, *(np.array([text[part] for text in texts], object) for part in parts)

    def tokenize(step: tf.Tensor) -> Sequence[tf.Tensor]:
        types = [tf.int64, *[tf.string] * examples.texts.per_example]
        rows, *texts = tf.numpy_function(alter, [step], types)
        texts = [tf.ensure_shape(part, [None]) for part in texts]
        token_ids, segment_ids = examples.preprocessor.tokenize(*texts)
        return step, rows, token_ids.flat_values, segment_ids.flat_values, token_ids.row_lengths()

    def gather(step: np.ndarray, *altered: np.ndarray) -> tuple[np.ndarray, ...]:
        numbers, epoch = plan.batch(int(step)), int(step) // plan.steps_per_epoch
        rows, new = (altered[0], Tokens(*altered[1:])) if altered else (np.array([], int), None)
        tokens, num_altered = examples.tokens(epoch, numbers, rows, new)
        examples.record(int(step), num_altered)
        return gather_batch(
            examples.store,
            examples.indices[numbers],
            pad_batch_to,
            weights,
            pad_length_to=plan.pad_length_to,
            tokens=tokens,
        )

    steps = tf.data.Dataset.range(start_step, start_step + num_steps)
    tokenized = {"arrays_of": tokenize} if examples.augmentation.alters_words else {}
    return map_steps(steps, gather, label_spec(examples.store), **tokenized)


def _merge(kept: Tokens, new: Tokens, is_new: np.ndarray) -> Tokens:
    """Merges two sets of rows; `is_new` marks the rows taken from `new`."""
    lengths = np.empty(len(is_new), np.int64)
    lengths[is_new], lengths[~is_new] = new.lengths, kept.lengths
    of_new = np.repeat(is_new, lengths)

    def merged(kept_values: np.ndarray, new_values: np.ndarray) -> np.ndarray:
        values = np.empty(len(of_new), np.int32)
        values[of_new], values[~of_new] = new_values, kept_values
        return values

    segment_ids = kept.segment_ids
    if segment_ids is not None:
        segment_ids = merged(segment_ids, new.segment_ids)
    return Tokens(merged(kept.token_ids, new.token_ids), segment_ids, lengths)
