import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.text.wordpiece import WordPiecePreprocessor

TEXTS = ["A quiet film.", "", "Films <br /> plot!", "   ", "Café …", "a" * 300, "the " * 50]


@pytest.fixture(scope="module")
def preprocess(vocabulary):
    return WordPiecePreprocessor(vocabulary, sequence_length=16)


def spell(vocabulary, token_ids) -> list[str]:
    return [vocabulary[i] for i in token_ids]


def test_single_text(preprocess, vocabulary):
    inputs = preprocess(["A quiet film.", "Films"])
    assert spell(vocabulary, inputs["token_ids"][0]) == [
        "[CLS]", "a", "quiet", "film", ".", "[SEP]",
    ]  # fmt: skip
    assert spell(vocabulary, inputs["token_ids"][1]) == [
        "[CLS]", "film", "##s", "[SEP]", "[PAD]", "[PAD]",
    ]  # fmt: skip
    assert inputs["padding_mask"].numpy().tolist() == [[1] * 6, [1] * 4 + [0] * 2]
    assert inputs["segment_ids"].numpy().tolist() == [[0] * 6] * 2
    assert {tensor.dtype for tensor in inputs.values()} == {tf.int32}


def test_pair(preprocess, vocabulary):
    token_ids, segment_ids = preprocess.tokenize(["A film", ""], ["The plot.", "the"])
    assert spell(vocabulary, token_ids[0]) == [
        "[CLS]", "a", "film", "[SEP]", "the", "plot", ".", "[SEP]",
    ]  # fmt: skip
    assert spell(vocabulary, token_ids[1]) == ["[CLS]", "[SEP]", "the", "[SEP]"]
    assert segment_ids.to_list() == [[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1]]


def test_padding_is_the_vocabularys(vocabulary):
    vocabulary = [*vocabulary[1:], "[PAD]"]
    inputs = WordPiecePreprocessor(vocabulary)(["a", "a film"])
    assert inputs["token_ids"][0, -1] == len(vocabulary) - 1
    assert inputs["padding_mask"].numpy().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"truncation": "head"}, "bcde"),
        ({"truncation": "tail"}, "ghij"),
        ({"truncation": "head_tail"}, "bcij"),
        ({"truncation": "head_tail", "head_fraction": 0.75}, "bcdj"),
        ({"truncation": "head_tail", "head_fraction": 0.0}, "ghij"),
        ({"truncation": "head_tail", "head_fraction": 1.0}, "bcde"),
        ({"truncation": "tail", "head_fraction": 0.75}, "ghij"),
    ],
)
def test_truncation(vocabulary, settings, expected):
    preprocess = WordPiecePreprocessor(vocabulary, sequence_length=6, **settings)
    token_ids, _ = preprocess.tokenize(["b c d e f g h i j", "b c d e", "b"])
    spelt = [spell(vocabulary, row) for row in token_ids.to_list()]
    assert spelt == [["[CLS]", *row, "[SEP]"] for row in (expected, "bcde", "b")]


def test_pairs_are_cut_longest_first(vocabulary):
    preprocess = WordPiecePreprocessor(vocabulary, sequence_length=8, truncation="tail")
    token_ids, segment_ids = preprocess.tokenize(["b c d e f g"], ["h i"])
    assert spell(vocabulary, token_ids[0]) == ["[CLS]", *"bcd", "[SEP]", *"hi", "[SEP]"]
    assert segment_ids.to_list() == [[0, 0, 0, 0, 0, 1, 1, 1]]


@pytest.mark.parametrize("written", ["[SEP]", "[CLS]", "[PAD]", "[MASK]", "[UNK]"])
def test_callers_cannot_write_special_tokens(preprocess, vocabulary, written):
    token_ids, _ = preprocess.tokenize([f"a {written} b"])
    spelt = spell(vocabulary, token_ids[0])[1:-1]
    assert spelt[1] == "["
    assert written == "[UNK]" or written not in spelt


@pytest.mark.parametrize("pair", [False, True])
def test_empty_batch(preprocess, pair):
    empty = tf.constant([], tf.string)
    inputs = preprocess(empty, empty if pair else None)
    assert set(inputs) == {"token_ids", "segment_ids", "padding_mask"}
    assert all(tensor.shape == (0, 0) for tensor in inputs.values())


def test_batch_of_empty_texts(preprocess, vocabulary):
    inputs = preprocess(["", "  "])
    assert [spell(vocabulary, row) for row in inputs["token_ids"]] == [["[CLS]", "[SEP]"]] * 2
    assert inputs["padding_mask"].numpy().tolist() == [[1, 1]] * 2


def test_padded_to_the_longest_of_the_batch_only(preprocess):
    assert preprocess(["a", "a film"])["token_ids"].shape == (2, 4)
    assert preprocess(["the " * 50])["token_ids"].shape == (1, 16)


@pytest.mark.parametrize("pair", [False, True])
def test_eager_function_and_dataset_agree(preprocess, pair):
    pairs = TEXTS[::-1] if pair else None
    eager = preprocess(TEXTS, pairs)
    traced = tf.function(preprocess)(tf.constant(TEXTS), None if pairs is None else pairs)
    columns = (TEXTS, pairs) if pair else (TEXTS,)
    mapped = next(iter(tf.data.Dataset.from_tensors(columns).map(preprocess)))
    for name, tensor in eager.items():
        np.testing.assert_array_equal(tensor, traced[name])
        np.testing.assert_array_equal(tensor, mapped[name])


def test_batch_and_single_agree(preprocess):
    batch, _ = preprocess.tokenize(TEXTS)
    assert batch.to_list() == [preprocess.tokenize([text])[0].to_list()[0] for text in TEXTS]


def test_pairs_of_different_number_are_refused(preprocess):
    with pytest.raises(tf.errors.InvalidArgumentError):
        preprocess(["a", "film"], ["the"])


def test_config_tells_apart_what_tokenizes_apart(vocabulary):
    settings = [
        {},
        {"lowercase": False},
        {"strip_accents": False},
        {"sequence_length": 17},
        {"truncation": "head"},
        {"head_fraction": 0.25},
        {"break_tags": "keep"},
    ]
    configs = [WordPiecePreprocessor(vocabulary, **setting).config() for setting in settings]
    configs.append(WordPiecePreprocessor([*vocabulary, "new"]).config())
    assert len({str(config) for config in configs}) == len(configs)
    explicit = WordPiecePreprocessor(vocabulary, strip_accents=True).config()
    assert explicit == configs[0]
    assert WordPiecePreprocessor(vocabulary, lowercase=False).config()["strip_accents"] is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: [], "vocabulary is empty"),
        (lambda v: [t for t in v if t not in ("[UNK]", "[PAD]")], r"\['\[PAD\]', '\[UNK\]'\]"),
        (lambda v: [t for t in v if t != "[CLS]"], r"lacks special tokens.*\[CLS\]"),
        (lambda v: [t for t in v if t != "[SEP]"], r"lacks special tokens.*\[SEP\]"),
        (lambda v: [*v, "film"], "holds tokens twice.*'film'.*vocab.txt"),
        (lambda v: [*v, ""], "empty or contain whitespace"),
        (lambda v: [*v, "two words"], "empty or contain whitespace.*two words"),
        (lambda v: [*v, "line\r"], "empty or contain whitespace"),
    ],
)
def test_unusable_vocabulary(vocabulary, change, message):
    with pytest.raises(UserError, match=message):
        WordPiecePreprocessor(change(vocabulary))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"truncation": "middle"}, "`truncation` is unknown.*middle.*head_tail or .* or windows"),
        ({"break_tags": "drop"}, "`break_tags` is unknown.*space or keep"),
        ({"sequence_length": 3}, "leaves no room.*at least 4"),
        ({"head_fraction": 1.5}, "share of the kept tokens.*1.5.*0 to 1"),
    ],
)
def test_unusable_settings(vocabulary, settings, message):
    with pytest.raises(UserError, match=message):
        WordPiecePreprocessor(vocabulary, **settings)


@pytest.mark.parametrize("text", ["one text", [["a"], ["b"]]])
def test_not_a_batch(preprocess, text):
    with pytest.raises(UserError, match=r"`text` must be a batch.*\[batch_size\].*into a list"):
        preprocess(text)
    with pytest.raises(UserError, match="`text_pair` must be a batch"):
        preprocess(["a"], text)
