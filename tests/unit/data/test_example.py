"""Batches of examples: bounded in number and in bytes."""

from __future__ import annotations

import itertools

import pytest

from kerasft.data.example import Example, batched


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [
        ([], []),
        ([1] * 7, [3, 3, 1]),
        ([1] * 6, [3, 3]),
        ([10, 1, 1, 1, 1], [1, 3, 1]),
        ([6, 6, 1, 3, 6], [1, 3, 1]),
        ([0, 0, 100, 1], [2, 1, 1]),  # a text above the bound stands alone
    ],
)
def test_a_batch_ends_at_its_size_or_bytes(lengths, sizes):
    single = [Example(b"x" * length, None, 0) for length in lengths]
    pairs = [Example(b"x" * (length // 2), b"x" * (length - length // 2), 0) for length in lengths]
    for examples in (single, pairs):
        batches = list(batched(iter(examples), 3, most_bytes=10))
        assert [len(batch) for batch in batches] == sizes
        assert list(itertools.chain.from_iterable(batches)) == examples
    assert [len(batch) for batch in batched(["x" * n for n in lengths], 3, len, 10)] == sizes
