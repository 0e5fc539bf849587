"""Near-copies are the texts that an uncased encoder reads alike, and no others."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies as st

from kerasft.data.plan.splits import hash_text
from kerasft.data.store.near_copies import read_hashes, read_text
from kerasft.text.wordpiece import WordPiecePreprocessor

SIGNS = "abe.,!。、é"
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *SIGNS, *(f"##{sign}" for sign in "abe")]
PIECES = ("a", "B", "b", "é", "e\u0301", "E", ".", ",", "!", "。", " ", "  ", "\t\n", "\u00a0")
PIECES = (*PIECES, "\u200b", "\x00", "\x0b", "<br />", "<BR>", "\ufeff", "\u3000")


@pytest.fixture(scope="module")
def preprocessor():
    return WordPiecePreprocessor(VOCABULARY, sequence_length=200)


texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join)


@hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(st.lists(texts, min_size=20, max_size=60))
def test_texts_are_read_alike_if_their_tokens_are_equal(preprocessor, texts):
    ids = preprocessor.tokenize(texts)[0].to_list()
    read = [read_text(text.encode()) for text in texts]
    for one, same in zip(read, ids, strict=True):
        assert [one == other for other in read] == [same == other for other in ids]


def test_hashes_of_pairs_are_those_of_both_texts():
    one = read_hashes([b"A  film"], [b"so."])
    assert one.tolist() == read_hashes([b"a film"], [b"So ."]).tolist()
    assert one.tolist() != read_hashes([b"a"], [b"film so."]).tolist()
    assert read_hashes([b"a film"])[0].tobytes() == hash_text(b"a film")


def test_invalid_utf8_is_left_out_as_the_encoder_does():
    assert read_text(b"a \xff film") == b"a film"
