import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasft.data.sources import load_source
from kerasft.data.splits import (
    build_splits,
    hash_text,
    seeded_subset,
    text_hashes,
    validation_mask,
)
from kerasft.errors import UserError


def hashes_of(*texts):
    return text_hashes([str(text).encode() for text in texts])


def test_hashes_are_blake2b_of_the_raw_bytes():
    hashes = text_hashes([b"a quiet film", b"a quiet film ", b"a quiet film"])
    assert hashes.shape == (3, 16)
    assert hashes.dtype == np.uint8
    # b2sum -l 128, so that any tool can check a split.
    assert hashes[0].tobytes() == hash_text(b"a quiet film")
    assert hash_text(b"").hex() == "cae66941d9efbd404e4d88758ea67670"
    assert hashes[0].tobytes() == hashes[2].tobytes() != hashes[1].tobytes()


def test_pairs_are_hashed_with_their_border():
    hashes = text_hashes([b"ab", b"a", b"ab"], [b"c", b"bc", b"c"])
    assert hashes[0].tobytes() == hashes[2].tobytes() != hashes[1].tobytes()
    assert hash_text(b"ab", b"") != hash_text(b"ab")


@given(
    texts=st.lists(st.integers(0, 60), min_size=1, max_size=150),
    fraction=st.floats(0.05, 0.95),
    seed=st.integers(0, 100),
)
def test_equal_texts_never_straddle_and_shares_are_kept(texts, fraction, seed):
    labels = np.random.default_rng(seed).integers(0, 3, len(texts))  # conflicting labels, too
    mask = validation_mask(hashes_of(*texts), labels, fraction)
    chosen = {text for text, inside in zip(texts, mask, strict=True) if inside}
    left = {text for text, inside in zip(texts, mask, strict=True) if not inside}
    assert not chosen & left
    for label in range(3):
        share = (labels == label).sum() * fraction
        assert mask[labels == label].sum() <= share + 0.5


@settings(max_examples=30)
@given(count=st.integers(2, 300), fraction=st.floats(0.01, 0.99), num_classes=st.integers(1, 4))
def test_fraction_of_each_class_within_rounding(count, fraction, num_classes):
    labels = np.arange(count) % num_classes
    mask = validation_mask(hashes_of(*range(count)), labels, fraction)
    for label in range(num_classes):
        share = (labels == label).sum() * fraction
        assert abs(mask[labels == label].sum() - share) <= 0.5 + 1e-9


def test_the_order_of_the_file_does_not_matter():
    texts, labels = np.arange(200), np.arange(200) % 2
    shuffle = np.random.default_rng(0).permutation(200)
    mask = validation_mask(hashes_of(*texts), labels, 0.2)
    shuffled = validation_mask(hashes_of(*texts[shuffle]), labels[shuffle], 0.2)
    np.testing.assert_array_equal(shuffled, mask[shuffle])


def test_the_split_is_the_same_on_every_machine():
    mask = validation_mask(hashes_of(*range(20)), np.arange(20) % 2, 0.2)
    assert np.flatnonzero(mask).tolist() == GOLDEN_VALIDATION
    subset = seeded_subset(hashes_of(*range(20)), 4, seed=1)
    assert subset.tolist() == GOLDEN_SUBSET


# By hand: blake2b orders the texts 18, 0, 16, 17, 19 ...; two of each class are wanted.
GOLDEN_VALIDATION = [0, 17, 18, 19]
GOLDEN_SUBSET = [9, 11, 12, 15]


def test_subsets_are_seeded_and_nested():
    hashes = hashes_of(*range(300))
    small, large = seeded_subset(hashes, 20, seed=1), seeded_subset(hashes, 100, seed=1)
    assert len(set(small)) == 20
    assert set(small) < set(large)
    assert np.all(np.diff(large) > 0)
    assert set(seeded_subset(hashes, 20, seed=2)) != set(small)
    np.testing.assert_array_equal(seeded_subset(hashes, 300, seed=3), np.arange(300))


def build(num_train=100, in_test=5, **settings):
    """100 train texts, two of them repeats, five of them in a test split of 50."""
    train = [*range(num_train - 2), 97, 97]
    test = [*range(in_test), *range(1000, 1050 - in_test)]
    return build_splits(hashes_of(*train), np.arange(num_train) % 2, hashes_of(*test), **settings)


def test_texts_of_test_are_counted_and_left_out():
    splits = build(validation_fraction=0.2)
    assert not {0, 1, 2, 3, 4} & {*splits.train, *splits.validation}
    assert splits.report == {
        "train_examples_in_dataset": 100,
        "test_examples_in_dataset": 50,
        "train_distinct_texts": 98,
        "test_distinct_texts": 50,
        "texts_in_train_and_test": 5,
        "train_examples_also_in_test": 5,
        "train_left_out_also_in_test": 5,
        "train_left_out_by_subset": 0,
        "validation_left_out_by_subset": 0,
        "test_left_out_by_subset": 0,
        "train_examples": 76,
        "validation_examples": 19,
        "test_examples": 50,
    }


def test_texts_of_test_stay_when_told_so():
    splits = build(keep_train_test_duplicates=True)
    together = np.sort(np.concatenate([splits.train, splits.validation]))
    np.testing.assert_array_equal(together, np.arange(100))
    assert splits.report["train_examples_also_in_test"] == 5
    assert splits.report["train_left_out_also_in_test"] == 0


def test_subsets_move_nothing_between_train_and_validation():
    whole = build(validation_fraction=0.2)
    part = build(validation_fraction=0.2, num_examples={"train": 40, "test": 7}, seed=3)
    assert len(part.train) == 40
    assert len(part.validation) == 10  # shrinks with train: a fifth of the two together
    assert len(part.test) == 7
    assert set(part.train) < set(whole.train)
    assert set(part.validation) < set(whole.validation)
    assert part.report["train_left_out_by_subset"] == 36


def test_validation_can_be_sized_by_itself():
    counts = {"train": 40, "validation": 15, "test": None}
    splits = build(validation_fraction=0.2, num_examples=counts)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (40, 15, 50)


def test_validation_does_not_depend_on_the_seed():
    np.testing.assert_array_equal(build(seed=1).validation, build(seed=2).validation)


def test_mistakes_are_told():
    with pytest.raises(UserError, match=r"validation_fraction is out of range. Received: 1.5"):
        build(validation_fraction=1.5)
    with pytest.raises(UserError, match=r"Received: 1000. Expected: from 1 to 76 examples"):
        build(validation_fraction=0.2, num_examples={"train": 1000})
    with pytest.raises(UserError, match=r"Received: 0. Expected: from 1 to 50 examples"):
        build(num_examples={"test": 0})
    with pytest.raises(UserError, match=r"The validation split is empty.*Received: 0"):
        build(validation_fraction=0.001)


def test_imdb_has_123_texts_in_train_and_test(shared_tfds):
    source = load_source("imdb_reviews", data_dir=shared_tfds)
    train = list(source.iterate("train"))
    splits = build_splits(
        text_hashes(example.text for example in train),
        np.array([example.label for example in train]),
        text_hashes(example.text for example in source.iterate("test")),
    )
    assert splits.report["train_distinct_texts"] == 24904
    assert splits.report["test_distinct_texts"] == 24801
    assert splits.report["texts_in_train_and_test"] == 123
    assert len(splits.train) + len(splits.validation) == 25000 - 123
    train_texts = {train[index].text for index in splits.train}
    assert not any(train[index].text in train_texts for index in splits.validation)
