import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kerasft.data.plan.splits import text_hashes
from kerasft.data.store.hashes import count_different, join_near_copies, number_equal, stand_in

NUMBERS = st.lists(st.integers(0, 300), max_size=200)


def hashes_of(numbers):
    return text_hashes([str(number).encode() for number in numbers])


@given(NUMBERS)
def test_equal_hashes_have_one_number_in_the_order_of_the_hashes(numbers):
    hashes = hashes_of(numbers)
    digests = [row.tobytes() for row in hashes]
    rank_of = {digest: rank for rank, digest in enumerate(sorted(set(digests)))}
    assert number_equal(hashes).tolist() == [rank_of[digest] for digest in digests]
    assert count_different(hashes) == len(rank_of)


@given(NUMBERS, NUMBERS)
def test_which_stand_in_others(numbers, others):
    mask = stand_in(hashes_of(numbers), hashes_of(others))
    assert mask.tolist() == [number in others for number in numbers]


def test_hashes_of_one_range_and_of_none():
    hashes = np.zeros((3, 16), np.uint8)
    hashes[1, 15] = 1
    assert number_equal(hashes).tolist() == [0, 1, 0]
    hashes[0, 0] = 255
    assert number_equal(hashes).tolist() == [2, 1, 0]
    assert number_equal(hashes[:0]).tolist() == []


@given(NUMBERS, NUMBERS)
def test_near_copies_get_the_lowest_hash_of_all_splits(train, test):
    own = {"train": hashes_of(train), "test": hashes_of(test)}
    read = {
        split: hashes_of(n // 7 for n in numbers)
        for split, numbers in (("train", train), ("test", test))
    }
    joined = join_near_copies(own, read)
    for split, numbers in (("train", train), ("test", test)):
        lowest = [
            min(hashes_of([other])[0].tobytes() for other in train + test if other // 7 == n // 7)
            for n in numbers
        ]
        assert [row.tobytes() for row in joined[split]] == lowest
