"""Raw texts in memory: whose is whose, and that they are those of the tokens."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.data.plan.splits import text_hashes
from kerasft.data.sources.raw_texts import read_raw_texts
from kerasft.errors import UserError

TEXTS = [b"one", b"", b"\xc3\xbcber\x00", b"four\xff", b"five"]
PAIRS = [b"a", b"bb", b"", b"d d", b"e"]


def read(source, indices, hashes=None, **options):
    if hashes is None:
        pairs = [example.text_pair for example in source.examples]
        texts = [example.text for example in source.examples]
        hashes = text_hashes(texts, pairs if source.has_pairs else None)
    indices = np.array(indices, np.int64)
    return read_raw_texts(source, "train", indices, text_hashes=hashes, **options)


@pytest.mark.parametrize("indices", [[0, 1, 2, 3, 4], [3], [4, 0, 2], [2, 2, 0, 2, 4]])
@pytest.mark.parametrize("pairs", [None, PAIRS])
def test_texts_stand_in_the_order_of_the_indices(make_source, indices, pairs):
    source = make_source(TEXTS, pairs)
    texts = read(source, indices)
    rows = list(zip(TEXTS, pairs, strict=True)) if pairs else [(text,) for text in TEXTS]
    assert [texts[example] for example in range(len(texts))] == [rows[i] for i in indices]
    assert source.num_reads == 1


def test_they_cost_their_size_and_little_more(make_source):
    texts = [b"%05d" % number + b"x" * 95 for number in range(2000)]
    held = read(make_source(texts), [*range(1000), *range(1000)])
    assert len(held.blob) == 100 * 1000  # what is not wanted or there already is not held
    assert held.offsets.nbytes == 8 * 1001
    assert held.rows.nbytes == 8 * 2000


def test_data_that_has_changed_is_refused(make_source):
    hashes = text_hashes(TEXTS)
    changed = make_source([*TEXTS[:3], b"for", TEXTS[4]])
    expected = r"train split of fake/plain has changed.*another text in the place of example 4'"
    with pytest.raises(UserError, match=expected):
        read(changed, [0, 3], hashes)
    assert len(read(changed, [0, 4], hashes)) == 2  # control: it is not asked for
    for texts, what in ((TEXTS[:4], "4 examples where"), ([*TEXTS, b"x"], "more examples where")):
        with pytest.raises(UserError, match=rf"{what} there were 5.*Fix: start the run again"):
            read(make_source(texts), [0, 3], hashes)


def test_no_more_is_read_than_up_to_the_last_text(make_source):
    hashes = text_hashes(TEXTS)
    source = make_source(TEXTS)
    texts = read(source, [2, 0], hashes, to_the_end=False)
    assert [texts[0], texts[1]] == [(TEXTS[2],), (TEXTS[0],)]
    assert source.num_yielded == 3
    read(source, [2, 0], hashes)
    assert source.num_yielded == 3 + len(TEXTS)  # control: else it counts all of them
    with pytest.raises(UserError, match="another text in the place of example 2"):
        read(make_source([TEXTS[0], b"on"]), [1], hashes, to_the_end=False)
    with pytest.raises(UserError, match="1 examples where there were 5"):
        read(make_source(TEXTS[:1]), [0, 2], hashes, to_the_end=False)
