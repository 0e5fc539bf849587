import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasft.data.plan.hold_out import count_places, hold_out, validation_mask
from kerasft.data.plan.splits import text_hashes
from kerasft.errors import UserError


def hashes_of(*texts):
    return text_hashes([str(text).encode() for text in texts])


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
@given(
    num_examples=st.integers(2, 300), fraction=st.floats(0.01, 0.99), num_classes=st.integers(1, 4)
)
def test_fraction_of_each_class_within_rounding(num_examples, fraction, num_classes):
    labels = np.arange(num_examples) % num_classes
    mask = validation_mask(hashes_of(*range(num_examples)), labels, fraction)
    for label in range(num_classes):
        count = (labels == label).sum()
        taken = mask[labels == label].sum()
        # The last one of a class stays in train.
        assert abs(taken - count * fraction) <= 0.5 + 1e-9 or taken == count - 1


@pytest.mark.parametrize(
    ("grouped", "num_classes", "taken"), [(False, 2, 40), (True, 2, 40), (True, 3, 36)]
)
def test_the_order_of_the_file_does_not_matter(grouped, num_classes, taken):
    texts, shuffle = np.arange(200), np.random.default_rng(0).permutation(200)

    def hold(order):
        groups = hashes_of(*texts[order] // 4) if grouped else None
        labels = texts[order] % num_classes
        return hold_out(hashes_of(*texts[order]), labels, 0.2, group_hashes=groups)

    mask = hold(texts)
    np.testing.assert_array_equal(hold(shuffle), mask[shuffle])
    assert mask.sum() == taken


def test_the_split_is_the_same_on_every_machine():
    mask = validation_mask(hashes_of(*range(20)), np.arange(20) % 2, 0.2)
    assert np.flatnonzero(mask).tolist() == GOLDEN_VALIDATION


# By hand: blake2b orders the texts 18, 0, 16, 17, 19 ...; two of each class are wanted.
GOLDEN_VALIDATION = [0, 17, 18, 19]


@given(
    rows=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 25)), min_size=1, max_size=120),
    fraction=st.floats(0.05, 0.9),
)
def test_neither_texts_nor_groups_straddle(rows, fraction):
    texts, groups = (np.array(column) for column in zip(*rows, strict=True))
    labels = texts % 3
    mask = hold_out(hashes_of(*texts), labels, fraction, group_hashes=hashes_of(*groups))
    for column in (texts, groups):
        assert not {*column[mask]} & {*column[~mask]}
    assert {*labels[~mask]} == {*labels}


@pytest.mark.parametrize("grouped", [False, True])
def test_what_is_not_usable_is_as_if_it_were_not_there(grouped):
    generator = np.random.default_rng(1)
    texts, usable = generator.integers(0, 150, 200), generator.random(200) < 0.7
    hashes, groups = hashes_of(*texts), hashes_of(*texts // 5) if grouped else None
    mask = hold_out(hashes, texts % 3, 0.2, group_hashes=groups, usable=usable)
    assert not mask[~usable].any()
    alone = hold_out(
        hashes[usable],
        texts[usable] % 3,
        0.2,
        group_hashes=None if groups is None else groups[usable],
    )
    np.testing.assert_array_equal(mask[usable], alone)
    assert alone.any()


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8"])
def test_more_labels_than_are_counted_at_a_time(dtype):
    labels = np.random.default_rng(2).choice([-5, 0, 7, 100], 150_000).astype(dtype)
    free = count_places(labels, 0.1).free
    expected = np.unique(labels, return_counts=True)[1] * 0.1
    np.testing.assert_allclose(free, expected, atol=0.51)
    of = count_places(labels, 0.1).of
    assert [of(row) for row in range(149_990, 150_000)] == [
        (np.searchsorted([-5, 0, 7, 100], label),) for label in labels[149_990:]
    ]


def test_where_no_group_fits_the_smallest_is_taken_unless_it_is_alone():
    hashes, labels = hashes_of(*range(100)), np.arange(100) % 2
    groups = np.array([0] * 40 + [1] * 25 + [2] * 35)
    mask = hold_out(hashes, labels, 0.1, group_hashes=hashes_of(*groups))
    assert {*groups[mask]} == {1}
    assert mask.sum() == 25
    assert not hold_out(hashes, labels, 0.3, group_hashes=hashes_of(*[7] * 100)).any()


def test_classes_too_small_for_a_place_share_places():
    labels = np.arange(40) % 20  # two of each: a tenth of that is none
    hashes = hashes_of(*range(40))
    assert not validation_mask(hashes, labels, 0.1).any()  # control
    mask = hold_out(hashes, labels, 0.1)
    assert mask.sum() == 4
    assert np.bincount(labels[~mask]).min() == 1


def label_sets(num_examples, *, seed=0):
    """A frequent label, one that half of the texts have, and one of 20 texts; none for some."""
    labels = np.zeros((num_examples, 4), np.uint8)
    generator = np.random.default_rng(seed)
    labels[:, 0] = generator.random(num_examples) < 0.8
    labels[:, 1] = generator.random(num_examples) < 0.5
    labels[generator.choice(num_examples, 20, replace=False), 2] = 1
    labels[generator.integers(num_examples), 3] = 1  # once
    return labels


@pytest.mark.parametrize("seed", range(5))
def test_sets_of_labels_are_stratified_by_the_rarest(seed):
    labels = label_sets(1000, seed=seed)
    mask = validation_mask(hashes_of(*range(1000)), labels, 0.2)
    assert abs(mask.sum() - 200) <= 3
    assert labels[mask, 2].sum() == 4
    assert labels[mask, 3].sum() == 0  # its only example stays in train
    shares = labels[mask].sum(axis=0) / labels.sum(axis=0)
    np.testing.assert_allclose(shares[:2], 0.2, atol=0.03)


def test_labels_too_rare_for_a_place_share_places():
    labels = np.eye(30, dtype=np.uint8).repeat(3, axis=0)
    mask = validation_mask(hashes_of(*range(90)), labels, 0.1)
    assert mask.sum() == 9
    assert labels[~mask].sum(axis=0).min() >= 1


def test_numbers_are_stratified_by_quantiles():
    values = np.random.default_rng(0).lognormal(size=500).astype(np.float32)
    mask = validation_mask(hashes_of(*range(500)), values, 0.2)
    assert mask.sum() == 100
    ranks = values.argsort().argsort()
    np.testing.assert_array_equal(np.bincount(ranks[mask] // 50), [10] * 10)
    plain = validation_mask(hashes_of(*range(500)), np.zeros(500, int), 0.2)  # control
    assert np.bincount(ranks[plain] // 50).tolist() != [10] * 10


@pytest.mark.parametrize("num_examples", [5, 12, 33, 150])
def test_few_numbers_still_validate(num_examples):
    values = np.arange(num_examples) % 7 / 2
    mask = validation_mask(hashes_of(*range(num_examples)), values, 0.1)
    assert abs(mask.sum() - num_examples * 0.1) <= 1
    assert mask.any()


def test_hidden_numbers_do_no_harm():
    values = np.array([np.nan, 1.0, np.nan, 2.0] * 25)
    assert validation_mask(hashes_of(*range(100)), values, 0.2).sum() == 20
    assert validation_mask(hashes_of(*range(100)), np.full(100, np.nan), 0.2).sum() == 20


def test_a_fraction_is_a_share():
    with pytest.raises(UserError, match=r"validation_fraction is out of range. Received: 0"):
        validation_mask(hashes_of(1, 2), np.array([0, 1]), 0)
