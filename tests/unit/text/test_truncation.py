import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kerasft.text.truncation import keep_byte_ends, keep_ends, keep_first, longest_first
from kerasft.text.wordpiece import MAX_TEXT_BYTES, WordPiecePreprocessor

rows = st.lists(st.integers(0, 40), min_size=0, max_size=6)


def one_by_one(first: int, second: int, room: int) -> tuple[int, int]:
    """Takes token after token from the longer text, as BERT does; HF decides between equals."""
    first_is_longer = first > second
    while first + second > room:
        if first > second or (first == second and not first_is_longer):
            first -= 1
        else:
            second -= 1
    return first, second


def ragged(lengths: list[int]) -> tf.RaggedTensor:
    return tf.ragged.range(tf.constant(lengths, tf.int32))


@given(st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90)), min_size=1), st.integers(1, 64))
def test_longest_first_is_the_closed_form_of_one_by_one(pairs, room):
    first, second = tf.constant(pairs, tf.int64)[:, 0], tf.constant(pairs, tf.int64)[:, 1]
    kept = tf.stack(longest_first(first, second, room), axis=1).numpy().tolist()
    assert kept == [list(one_by_one(*pair, room)) for pair in pairs]


@given(rows, st.integers(0, 12), st.integers(0, 12))
def test_keep_ends(lengths, head, tail):
    kept = keep_ends(ragged(lengths), head=head, tail=tail).to_list()
    for length, row in zip(lengths, kept, strict=True):
        tokens = list(range(length))
        if length > head + tail:
            tokens = tokens[:head] + tokens[length - tail :]
        assert row == tokens


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=6))
def test_keep_first(rows_and_counts):
    lengths = [length for length, _ in rows_and_counts]
    counts = [min(pair) for pair in rows_and_counts]
    kept = keep_first(ragged(lengths), tf.constant(counts, tf.int64)).to_list()
    assert kept == [list(range(count)) for count in counts]


class TestKeepByteEnds:
    texts = (b"", b"ab", b"abcdef", b"abcdefgh", "ééééé".encode())

    def test_the_middle_goes_where_a_text_is_too_long(self):
        received = keep_byte_ends(tf.constant(self.texts), 6).numpy().tolist()
        assert received == [b"", b"ab", b"abcdef", b"abc fgh", b"\xc3\xa9\xc3 \xa9\xc3\xa9"]

    def test_texts_that_fit_stay(self):
        assert keep_byte_ends(tf.constant(self.texts), 10).numpy().tolist() == list(self.texts)
        assert keep_byte_ends(tf.constant([], tf.string), 10).shape == (0,)

    def test_the_preprocessor_reads_both_ends_of_a_huge_text(self):
        vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "first", "last", "middle"]
        preprocess = WordPiecePreprocessor(vocabulary, sequence_length=6)
        filling = b" middle" * (MAX_TEXT_BYTES // 7)
        ids = preprocess([b"first" + filling + filling + b" last"])["token_ids"][0].numpy()
        spelt = " ".join(vocabulary[i] for i in ids)
        assert spelt == "[CLS] first middle middle last [SEP]"
        in_a_dataset = tf.data.Dataset.from_tensors([b"first" + filling]).map(preprocess)
        assert next(iter(in_a_dataset))["token_ids"].shape == (1, 6)
