"""Altered batches beside those of the plain dataset: what may differ does, and nothing else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from kerasft.data.batches.augmentation import Augmentation
from kerasft.data.batches.augmented_batches import AugmentedExamples, build_augmented_dataset
from kerasft.data.batches.token_batches import build_train_dataset
from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.data.sources.raw_texts import read_raw_texts
from kerasft.data.store.token_store import load_or_build_token_store
from kerasft.data.store.token_writer import build_tokenize
from kerasft.errors import UserError
from kerasft.text.wordpiece import WordPiecePreprocessor

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["good", "bad", "film", "plot", "the", "quiet"]
LETTERS = [
    *"abcdefghijklmnopqrstuvwxyz",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
]
VOCABULARY = [*SPECIAL_TOKENS, *WORDS, *LETTERS, "."]
UNKNOWN_ID, SPECIAL_IDS = 1, (0, 2, 3)
NUM_EXAMPLES = 60
TEXTS = [
    " ".join(WORDS[(index * 7 + at * at) % len(WORDS)] for at in range(index % 11 + 1)).encode()
    for index in range(NUM_EXAMPLES)
]
PAIRS = [text[::-1] for text in TEXTS]
INDICES = np.arange(5, 55)
SWAPS = Augmentation(share=0.5, swap=0.5, seed=4)
ALL = Augmentation(share=0.8, deletion=0.2, swap=0.2, typos=0.2, word_dropout=0.2, seed=4)


class Case:
    """A store on disk, and both datasets over it."""

    def __init__(self, source, folder, augmentation, *, indices=INDICES, **settings):
        settings = {"sequence_length": 12, **settings}
        self.preprocessor = WordPiecePreprocessor(VOCABULARY, **settings)
        self.store = load_or_build_token_store(
            source, "train", preprocessor=self.preprocessor, folder=folder
        )
        self.tokenize = build_tokenize(self.preprocessor, source.has_pairs)
        self.indices = indices
        self.plan = BatchPlan(np.asarray(self.store.lengths[indices]), batch_size=8, seed=3)
        self.examples = AugmentedExamples(
            self.store,
            indices,
            read_raw_texts(source, "train", indices, text_hashes=self.store.text_hashes),
            augmentation,
            self.preprocessor,
            unknown_id=UNKNOWN_ID,
            special_ids=SPECIAL_IDS,
        )

    def plain(self, num_steps=14, **options):
        return list(
            build_train_dataset(
                self.store, self.indices, self.plan, num_steps=num_steps, **options
            ).as_numpy_iterator()
        )

    def altered(self, num_steps=14, **options):
        return list(
            build_augmented_dataset(
                self.examples, self.plan, num_steps=num_steps, **options
            ).as_numpy_iterator()
        )


@pytest.fixture
def case(make_source, tmp_path):
    def build(augmentation=SWAPS, *, pairs=False, labels=None, **settings):
        source = make_source(TEXTS, PAIRS if pairs else None, labels)
        return Case(source, tmp_path, augmentation, **settings)

    return build


def rows_of(batch):
    """The token and segment ids of each row, without padding."""
    inputs = batch[0]
    real = inputs["padding_mask"].astype(bool)
    return [
        (inputs["token_ids"][row][mask].tolist(), inputs["segment_ids"][row][mask].tolist())
        for row, mask in enumerate(real)
    ]


def assert_equal(ones, others):
    for one, other in zip(ones, others, strict=True):
        for array, wanted in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            assert array.dtype == wanted.dtype
            np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize(
    ("pairs", "truncation"), [(False, "head_tail"), (True, "head_tail"), (False, "windows")]
)
def test_what_is_not_altered_is_as_in_the_plain_dataset(case, pairs, truncation):
    these = case(SWAPS, pairs=pairs, truncation=truncation)
    num_altered = num_kept = 0
    for step, (new, old) in enumerate(zip(these.altered(), these.plain(), strict=True)):
        numbers = these.plan.batch(step)
        chosen = SWAPS.chosen(step // these.plan.steps_per_epoch, numbers)
        differ = np.array([a != b for a, b in zip(rows_of(new), rows_of(old), strict=True)])
        assert not (differ & ~chosen).any()
        num_altered, num_kept = num_altered + differ.sum(), num_kept + (~chosen).sum()
        np.testing.assert_array_equal(new[1], old[1])
        np.testing.assert_array_equal(new[2], old[2])
    assert min(num_altered, num_kept) > 20


def test_without_a_share_to_speak_of_the_batches_are_the_plain_ones(case):
    these = case(Augmentation(share=1e-9, deletion=0.9, word_dropout=0.9))
    assert_equal(these.altered(pad_batch_to=3), these.plain(pad_batch_to=3))
    assert [these.examples.altered(step) for step in range(14)] == [0] * 14
    other = case(Augmentation(share=0.5, deletion=0.9))
    assert other.altered()[0][0]["token_ids"].tolist() != other.plain()[0][0]["token_ids"].tolist()


@pytest.mark.parametrize("pairs", [False, True])
def test_altered_rows_are_the_tokens_of_the_altered_texts(case, pairs):
    these = case(SWAPS, pairs=pairs)
    for step, batch in enumerate(these.altered(num_steps=9)):
        epoch = step // these.plan.steps_per_epoch
        numbers = these.plan.batch(step).tolist()
        columns = [
            [
                SWAPS.alter(texts[INDICES[number]], epoch=epoch, example=number, part=part)
                for number in numbers
            ]
            for part, texts in enumerate([TEXTS, PAIRS][: 1 + pairs])
        ]
        token_ids, segment_ids = these.tokenize(*map(tf.constant, columns))
        expected = zip(token_ids.to_list(), segment_ids.to_list(), strict=True)
        assert rows_of(batch) == list(expected)
        assert batch[0]["token_ids"].shape[1] % 8 == 0


def test_labels_and_weights_stay_with_their_examples(case):
    these = case(ALL, labels=[index % 2 for index in range(NUM_EXAMPLES)])
    weights = np.linspace(0.5, 2, NUM_EXAMPLES).astype(np.float32)
    batches = these.altered(num_steps=7, pad_batch_to=3, weights=weights)
    for step, (inputs, labels, sample_weight) in enumerate(batches):
        rows = INDICES[these.plan.batch(step)]
        num_rows = -(-len(rows) // 3) * 3
        filling = [0.0] * (num_rows - len(rows))
        assert labels[: len(rows)].tolist() == (rows % 2).tolist()
        assert sample_weight.tolist() == [*weights[rows].tolist(), *filling]
        assert inputs["padding_mask"][len(rows) :].sum(axis=1).tolist() == [1] * len(filling)


@pytest.mark.parametrize("start_step", [6, 8])
def test_training_resumes_where_it_stopped(case, start_step):
    these = case(ALL)
    whole = these.altered()
    counts = [these.examples.altered(step) for step in range(14)]
    rest = these.altered(num_steps=14 - start_step, start_step=start_step)
    assert_equal(rest, whole[start_step:])
    assert [these.examples.altered(step) for step in range(start_step, 14)] == counts[start_step:]


def test_copies_of_an_example_are_altered_each_otherwise(case):
    these = case(Augmentation(swap=0.5), indices=np.full(16, 54))
    rows = [str(row) for batch in these.altered(num_steps=2) for row in rows_of(batch)]
    assert len(set(rows)) > 8
    assert len({str(row) for batch in these.plain(num_steps=2) for row in rows_of(batch)}) == 1


@pytest.mark.parametrize("augmentation", [SWAPS, Augmentation(word_dropout=0.1), ALL], ids=str)
def test_what_was_altered_is_counted_once(case, augmentation):
    these = case(augmentation)
    steps = {"start_step": 5, "num_steps": 5}  # over the border of the epoch, which has 7
    pairs = zip(these.altered(**steps), these.plain(**steps), strict=True)
    for step, (new, old) in enumerate(pairs, start=5):
        differ = sum(a != b for a, b in zip(rows_of(new), rows_of(old), strict=True))
        count = these.examples.altered(step)
        assert differ <= count <= len(these.plan.batch(step))
        assert count == _expected_count(these, step)
        with pytest.raises(KeyError):
            these.examples.altered(step)


def _expected_count(these, step):
    """Counts anew, an example at a time."""
    augmentation, count = these.examples.augmentation, 0
    epoch = step // these.plan.steps_per_epoch
    for number in these.plan.batch(step).tolist():
        text = TEXTS[INDICES[number]]
        altered = augmentation.alter(text, epoch=epoch, example=number)
        token_ids = these.tokenize(tf.constant([altered]))[0].values.numpy()
        dropped = augmentation.drop_tokens(
            token_ids,
            np.array([len(token_ids)]),
            epoch=epoch,
            examples=np.array([number]),
            unknown_id=UNKNOWN_ID,
            special_ids=SPECIAL_IDS,
        )
        count += altered != text or (dropped != token_ids).any()
    return count


def test_a_change_beyond_what_is_read_counts_though_no_token_differs(case):
    these = case(SWAPS, sequence_length=4, truncation="head")
    pairs = zip(these.altered(), these.plain(), strict=True)
    differ = [
        [a != b for a, b in zip(rows_of(new), rows_of(old), strict=True)] for new, old in pairs
    ]
    counts = [these.examples.altered(step) for step in range(14)]
    assert counts == [_expected_count(these, step) for step in range(14)]
    assert 0 < sum(map(sum, differ)) < sum(counts)


def test_dropped_tokens_are_unknown_and_special_ones_stay_and_no_text_is_needed(case):
    these = case(Augmentation(word_dropout=0.5))
    batches = these.altered()
    new = np.concatenate([batch[0]["token_ids"].ravel() for batch in batches])
    old = np.concatenate([batch[0]["token_ids"].ravel() for batch in these.plain()])
    words = ~np.isin(old, SPECIAL_IDS)
    assert (new == old)[~words].all()
    assert (new[new != old] == UNKNOWN_ID).all()
    assert (new != old)[words].mean() == pytest.approx(0.5, abs=0.1)
    these.examples = dataclasses.replace(these.examples, texts=None)
    assert_equal(these.altered(), batches)


def test_types_and_shapes_are_those_of_the_plain_dataset(case):
    these = case()
    plain = build_train_dataset(these.store, these.indices, these.plan, num_steps=3)
    altered = build_augmented_dataset(these.examples, these.plan, num_steps=3)
    assert altered.element_spec == plain.element_spec
    assert len(altered) == 3


def test_mistakes_are_told(case):
    these = case()
    plan = BatchPlan(np.array([1, 2, 3]), batch_size=2)
    with pytest.raises(UserError, match=r"plan belongs to other data. Received: 3. Expected: .*50"):
        build_augmented_dataset(these.examples, plan, num_steps=1)
    with pytest.raises(ValueError, match=r"Received 0 texts for 50 examples"):
        dataclasses.replace(these.examples, texts=None)
    with pytest.raises(ValueError, match=r"Received 50 texts for 3 examples"):
        dataclasses.replace(these.examples, indices=np.arange(3))


def test_bytes_that_are_no_text_pass_through(make_source, tmp_path):
    texts = [b"good \xff film\x00", b"good \x00\x00", b"the plot\x00 bad"] * 3
    these = Case(make_source(texts), tmp_path, Augmentation(swap=0.9), indices=np.arange(9))
    assert len(these.altered(num_steps=2)) == 2
    assert sum(these.examples.altered(step) for step in range(2)) > 0
