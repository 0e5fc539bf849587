"""Long texts as overlapping windows: which tokens stand in which, and what is dropped."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from kerasft.errors import UserError
from kerasft.text.truncation import cut_windows, join_windows
from kerasft.text.wordpiece import WordPiecePreprocessor

START, SEPARATOR = 2, 3
LETTERS = [*"bcdefghijklmnop"]
TEXTS = ["", "b", "b c d e", "b c d e f", "b c d e f g h", " ".join(LETTERS), "\0 café 中文"]


@pytest.fixture(scope="module")
def build(vocabulary):
    def build(**settings):
        settings = {"sequence_length": 6, "truncation": "windows"} | settings
        return WordPiecePreprocessor(vocabulary, **settings)

    return build


def tokens(preprocess, text):
    """The letters of each window of a text, which special tokens surround."""
    ids = preprocess.tokenize([text])[0].to_list()[0]
    vocabulary = {preprocess.tokenize([letter])[0].to_list()[0][1]: letter for letter in LETTERS}
    letters = "".join(vocabulary.get(i, {START: "<", SEPARATOR: ">"}.get(i)) for i in ids)
    return letters.removeprefix("<").removesuffix(">").split("><")


@pytest.mark.parametrize(
    ("num_letters", "windows"),
    [
        (0, [""]),
        (1, ["b"]),
        (4, ["bcde"]),
        (5, ["bcde", "ef"]),
        (7, ["bcde", "efgh"]),
        (8, ["bcde", "efgh", "hi"]),
        (14, ["bcde", "efgh", "hijk", "klmn"]),  # the last token, an o, is dropped
    ],
)
def test_windows_start_every_half_of_the_sequence_length(build, num_letters, windows):
    assert tokens(build(), " ".join(LETTERS[:num_letters])) == windows


@pytest.mark.parametrize(
    ("settings", "windows"),
    [
        ({"window_stride": 4}, ["bcde", "fghi", "j"]),
        ({"window_stride": 1, "max_windows": 3}, ["bcde", "cdef", "defg"]),
        ({"sequence_length": 8, "window_stride": 5, "max_windows": 1}, ["bcdefg"]),
        ({"sequence_length": 64}, ["bcdefghij"]),
    ],
)
def test_stride_and_most_windows(build, settings, windows):
    assert tokens(build(**settings), " ".join(LETTERS[:9])) == windows


def test_one_window_at_most_is_head(build):
    one, head = build(max_windows=1), build(truncation="head")
    assert one.tokenize(TEXTS)[0].to_list() == head.tokenize(TEXTS)[0].to_list()
    assert build().tokenize(TEXTS)[0].to_list() != head.tokenize(TEXTS)[0].to_list()


def test_batch_single_function_and_dataset_agree(build):
    preprocess = build()
    batch, _ = preprocess.tokenize(TEXTS)
    assert batch.to_list() == [preprocess.tokenize([text])[0].to_list()[0] for text in TEXTS]
    eager = preprocess(TEXTS)
    mapped = next(iter(tf.data.Dataset.from_tensors(TEXTS).map(preprocess)))
    assert eager["token_ids"].shape == (len(TEXTS), 24)
    for name, tensor in eager.items():
        np.testing.assert_array_equal(tensor, mapped[name])
    assert not eager["segment_ids"].numpy().any()


def test_no_text_at_all(build):
    assert build()(tf.constant([], tf.string))["token_ids"].shape == (0, 0)


rows = st.lists(st.integers(0, 40), max_size=6)


@given(rows, st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
def test_windows_cover_every_token_up_to_the_last_window(lengths, length, stride, max_windows):
    stride = min(stride, length)
    tokens = tf.ragged.range(tf.constant(lengths, tf.int32))
    windows, counts = cut_windows(tokens, length=length, stride=stride, max_windows=max_windows)
    windows, counts = windows.to_list(), counts.numpy().tolist()
    assert sum(counts) == len(windows)
    for num_tokens, count in zip(lengths, counts, strict=True):
        own, windows = windows[:count], windows[count:]
        assert [window[:1] for window in own[1:]] == [[n * stride] for n in range(1, count)]
        assert all(len(window) == length for window in own[:-1])
        covered = {token for window in own for token in window}
        reach = min(num_tokens, (max_windows - 1) * stride + length)
        assert covered == set(range(reach))
        assert own[-1] == [] if num_tokens == 0 else own[-1][-1] == reach - 1


@given(st.lists(st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=3)))
def test_join_windows(texts):
    flat = tf.ragged.constant([w for text in texts for w in text], tf.int32, ragged_rank=1)
    joined = join_windows(flat, tf.constant([len(text) for text in texts], tf.int64))
    assert joined.to_list() == [[i for w in text for i in w] for text in texts]


def test_config_names_the_windows_and_no_other_truncation_does(build):
    ours = [{}, {"window_stride": 2}, {"max_windows": 3}, {"truncation": "head"}]
    configs = [build(**settings).config() for settings in ours]
    assert len({str(config) for config in configs}) == len(configs)
    assert configs[0] == build(window_stride=3, head_fraction=0.1).config()
    assert not {"window_stride", "max_windows"} & set(configs[-1])  # keys of stores stay
    assert build(truncation="head", max_windows=9).config() == configs[-1]


def test_pairs_are_refused(build):
    with pytest.raises(UserError, match=r"Pairs .* in windows.*single texts.*leave truncation"):
        build()(["a"], ["film"])
    build(truncation="head")(["a"], ["film"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window_stride": 0}, "`window_stride` would skip .* Received: 0. Expected: 1 to 4, "),
        ({"window_stride": 5}, "`window_stride` would skip .* Received: 5. Expected: 1 to 4, "),
        ({"max_windows": 0}, "`max_windows` is too small. Received: 0. Expected: at least 1"),
    ],
)
def test_unusable_settings(build, settings, message):
    with pytest.raises(UserError, match=message):
        build(**settings)
