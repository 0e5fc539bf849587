"""WordPiece from raw text to model inputs, as one TF graph for training and serving."""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_text as tf_text

from kerasft.errors import UserError
from kerasft.text.cleaning import MAX_BYTES_PER_WORD, clean_text
from kerasft.text.truncation import (
    cut_windows,
    join_windows,
    keep_byte_ends,
    keep_ends,
    keep_first,
    longest_first,
)
from kerasft.text.uncompiled import uncompiled_graph

PADDING, UNKNOWN, START, SEPARATOR = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
WINDOWS = "windows"
TRUNCATIONS = ("head_tail", "head", "tail", WINDOWS)
BREAK_TAGS = ("space", "keep")
MINIMUM_SEQUENCE_LENGTH = 4  # three special tokens of a pair, and one token
MAX_TEXT_BYTES = 1 << 20  # far more than a model reads; the middle costs time and memory

_TEXT = tf.TensorSpec([None], tf.string)


class WordPiecePreprocessor(tf.Module):
    """Turns raw texts, or pairs of texts, into token ids, segment ids and a padding mask.

    One graph of `tf_text.FastWordpieceTokenizer` and core TF ops, so that any standard server can
    run it. The ids are those of Hugging Face `tokenizers` with the same vocabulary, except for the
    cases listed in `tests/parity/test_tokenizer_parity.py`. Above all, special tokens such as
    "[SEP]" written in a text stay text, since a caller must not be able to write special tokens.

    Of a text beyond a megabyte only the first and the last half megabyte are read.

    A text becomes `[CLS] text [SEP]`, a pair `[CLS] text [SEP] text_pair [SEP]` with segment id 1
    from the second text on. Long texts are truncated according to `truncation`; pairs always
    longest first, from the end.

    With `truncation="windows"` a row is the text's windows one after another, each with special
    tokens of its own and each but the last `sequence_length` tokens long. Tokens after the last
    window are dropped. `FineTuner(window_length=sequence_length)` reads such rows; pairs are not
    supported.

    Args:
        vocabulary: The tokens, in the order of their ids.
        lowercase: Whether letters are lowercased. Defaults to `True`.
        strip_accents: Whether accents are stripped. Defaults to `None`: same as `lowercase`.
        sequence_length: The most tokens in a row, or a window, special tokens included. Defaults to
            256.
        truncation: The part kept of a single text: `"head_tail"` (default), `"head"`, `"tail"`, or
            overlapping `"windows"`.
        head_fraction: The share of the kept tokens that comes from the head, for `"head_tail"`.
            Defaults to 0.5.
        break_tags: `"space"` (default) turns `<br />` into a space, `"keep"` keeps it.
        window_stride: Tokens from one window's first to the next one's, for `"windows"`. Defaults
            to `None`: half of `sequence_length`.
        max_windows: The most windows of a text, for `"windows"`. Defaults to 4.

    Raises:
        UserError: If the vocabulary or a setting is invalid.

    Example:
        ```python
        preprocess = WordPiecePreprocessor(vocabulary, sequence_length=128)
        preprocess(["A quiet film."])
        # {"token_ids": [[101, 1037, 4251, 2143, 1012, 102]], "segment_ids": [[0, ...]],
        #  "padding_mask": [[1, ...]]}
        ```
    """

    def __init__(  # noqa: PLR0913 - each is a setting of its own
        self,
        vocabulary: Sequence[str],
        *,
        lowercase: bool = True,
        strip_accents: bool | None = None,
        sequence_length: int = 256,
        truncation: str = "head_tail",
        head_fraction: float = 0.5,
        break_tags: str = "space",
        window_stride: int | None = None,
        max_windows: int = 4,
    ):
        super().__init__(name="word_piece_preprocessor")
        _check_vocabulary(vocabulary)
        _check_choice("truncation", truncation, TRUNCATIONS)
        _check_choice("break_tags", break_tags, BREAK_TAGS)
        _check_lengths(sequence_length, head_fraction)
        self.sequence_length = sequence_length
        self.lowercase = lowercase
        self.strip_accents = lowercase if strip_accents is None else strip_accents
        self.truncation = truncation
        self.head_fraction = {"head": 1.0, "tail": 0.0, WINDOWS: 1.0}.get(truncation, head_fraction)
        self.window_stride = sequence_length // 2 if window_stride is None else window_stride
        self.max_windows = max_windows
        if truncation == WINDOWS:
            _check_windows(sequence_length, self.window_stride, max_windows)
        self.break_tags = break_tags
        self.vocabulary = tuple(vocabulary)
        self.vocabulary_size = len(vocabulary)
        self._vocabulary_hash = hashlib.sha256("\n".join(vocabulary).encode()).hexdigest()
        self.padding_id, self._start_id, self._separator_id = (
            list(vocabulary).index(token) for token in (PADDING, START, SEPARATOR)
        )
        self._tokenizer = _build_tokenizer(self.vocabulary)

    def variant(self, **settings: object) -> WordPiecePreprocessor:
        """Returns a preprocessor with the same tokenizer and some other settings of the class."""
        own = {
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            "sequence_length": self.sequence_length,
            "truncation": self.truncation,
            "head_fraction": self.head_fraction,
            "break_tags": self.break_tags,
            "window_stride": self.window_stride if self.truncation == WINDOWS else None,
            "max_windows": self.max_windows,
        }
        return WordPiecePreprocessor(self.vocabulary, **(own | settings))

    def __call__(
        self, text: tf.Tensor | Sequence[str], text_pair: tf.Tensor | Sequence[str] | None = None
    ) -> dict[str, tf.Tensor]:
        """Returns the model's inputs, padded to the longest row of this batch.

        Args:
            text: string `[batch_size]`: UTF-8.
            text_pair: string `[batch_size]`, or `None`.

        Returns:
            `token_ids`, `segment_ids` and `padding_mask` (1 = real), each int32
            `[batch_size, length of the longest row]`.
        """
        token_ids, segment_ids = self.tokenize(text, text_pair)
        return {
            "token_ids": token_ids.to_tensor(self.padding_id),
            "segment_ids": segment_ids.to_tensor(),
            "padding_mask": tf.ones_like(token_ids).to_tensor(),
        }

    def tokenize(
        self, text: tf.Tensor | Sequence[str], text_pair: tf.Tensor | Sequence[str] | None = None
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Returns token ids and segment ids, truncated, with special tokens.

        Args:
            text: string `[batch_size]`: UTF-8.
            text_pair: string `[batch_size]`, or `None`.

        Returns:
            Two int32 ragged tensors `[batch_size, (num_tokens)]`.

        Raises:
            UserError: If an input is not a batch of strings, or pairs are to be read in windows.
        """
        text = _to_batch(text, "text")
        if text_pair is None:
            windows = self.truncation == WINDOWS
            return self._tokenize_windows(text) if windows else self._tokenize_texts(text)
        if self.truncation == WINDOWS:
            raise UserError(
                "Pairs of texts cannot be read in windows.",
                received='truncation="windows" and a text_pair',
                expected='windows for single texts; pairs with "head_tail", "head" or "tail"',
                fix="leave truncation at its default, and lengthen sequence_length.",
            )
        return self._tokenize_pairs(text, _to_batch(text_pair, "text_pair"))

    def config(self) -> dict[str, object]:
        """Returns all settings that affect the output, without the vocabulary, for cache keys."""
        windows = {"window_stride": self.window_stride, "max_windows": self.max_windows}
        return {
            "vocabulary_sha256": self._vocabulary_hash,
            "lowercase": self.lowercase,
            "strip_accents": self.strip_accents,
            "sequence_length": self.sequence_length,
            "truncation": self.truncation,
            "head_fraction": self.head_fraction,
            "break_tags": self.break_tags,
            "max_text_bytes": MAX_TEXT_BYTES,
            "unicode": unicodedata.unidata_version,  # the table of characters
            "tensorflow_text": tf_text.__version__,  # word boundaries
        } | (windows if self.truncation == WINDOWS else {})

    @uncompiled_graph(_TEXT)
    def _tokenize_texts(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        room = self.sequence_length - 2
        head = round(room * self.head_fraction)
        return self._pack(keep_ends(self._split(text), head=head, tail=room - head))

    @uncompiled_graph(_TEXT)
    def _tokenize_windows(self, text: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        windows, num_windows = cut_windows(
            self._split(text),
            length=self.sequence_length - 2,
            stride=self.window_stride,
            max_windows=self.max_windows,
        )
        token_ids, segment_ids = self._pack(windows)
        return join_windows(token_ids, num_windows), join_windows(segment_ids, num_windows)

    @uncompiled_graph(_TEXT, _TEXT)
    def _tokenize_pairs(
        self, text: tf.Tensor, text_pair: tf.Tensor
    ) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        both = self._split(tf.concat([text, text_pair], axis=0))
        first, second = both[: tf.size(text)], both[tf.size(text) :]
        keep_of_first, keep_of_second = longest_first(
            first.row_lengths(), second.row_lengths(), self.sequence_length - 3
        )
        return self._pack(keep_first(first, keep_of_first), keep_first(second, keep_of_second))

    def _split(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Returns the token ids of each text, without special tokens."""
        cleaned = clean_text(
            keep_byte_ends(text, MAX_TEXT_BYTES),
            lowercase=self.lowercase,
            strip_accents=self.strip_accents,
            break_tags=self.break_tags,
        )
        return self._tokenizer.tokenize(cleaned)

    def _pack(self, *segments: tf.RaggedTensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Adds the special tokens around the segments, and returns token and segment ids."""
        column = tf.stack([segments[0].nrows(tf.int32), 1])
        separator = tf.fill(column, self._separator_id)
        pieces, numbers = [tf.fill(column, self._start_id)], [tf.fill(column, 0)]
        for number, segment in enumerate(segments):
            pieces += [segment, separator]
            numbered = segment.with_values(tf.fill(tf.shape(segment.values), number))
            numbers += [numbered, tf.fill(column, number)]
        return tf.concat(pieces, axis=1), tf.concat(numbers, axis=1)


@functools.lru_cache(maxsize=4)
def _build_tokenizer(vocabulary: tuple[str, ...]) -> tf_text.FastWordpieceTokenizer:
    """Builds the tokenizer; variants of a preprocessor share it."""
    with tf.init_scope():  # a constant of one graph could not be used in another
        return tf_text.FastWordpieceTokenizer(
            list(vocabulary),
            max_bytes_per_word=MAX_BYTES_PER_WORD,
            token_out_type=tf.int32,
            unknown_token=UNKNOWN,
        )


def _to_batch(text: tf.Tensor | Sequence[str], name: str) -> tf.Tensor:
    text = tf.convert_to_tensor(text, tf.string)
    if text.shape.rank not in (1, None):
        raise UserError(
            f"`{name}` must be a batch of texts.",
            received=text.shape.as_list(),
            expected="the shape [batch_size]",
            fix="put a single text into a list.",
        )
    return text


def _check_vocabulary(vocabulary: Sequence[str]) -> None:
    """Raises a `UserError` for a vocabulary that cannot belong to a BERT tokenizer."""
    fix = "use the vocab.txt that belongs to the checkpoint: one token a line, in the order of ids."
    if not vocabulary:
        raise UserError("The vocabulary is empty.", fix=fix)
    missing = sorted({PADDING, UNKNOWN, START, SEPARATOR} - set(vocabulary))
    if missing:
        raise UserError("The vocabulary lacks special tokens.", received=missing, fix=fix)
    repeated = [token for token, count in Counter(vocabulary).items() if count > 1]
    if repeated:
        raise UserError("The vocabulary holds tokens twice.", received=repeated[:5], fix=fix)
    broken = [token for token in vocabulary if not token or set(token) & set(" \t\r\n")]
    if broken:
        raise UserError(
            "The vocabulary holds tokens that are empty or contain whitespace.",
            received=broken[:5],
            fix=fix,
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UserError(f"`{name}` is unknown.", received=value, expected=" or ".join(choices))


def _check_lengths(sequence_length: int, head_fraction: float) -> None:
    if sequence_length < MINIMUM_SEQUENCE_LENGTH:
        raise UserError(
            "`sequence_length` leaves no room for text between the special tokens.",
            received=sequence_length,
            expected=f"at least {MINIMUM_SEQUENCE_LENGTH}",
        )
    if not 0.0 <= head_fraction <= 1.0:
        raise UserError(
            "`head_fraction` is a share of the kept tokens.",
            received=head_fraction,
            expected="0 to 1",
        )


def _check_windows(sequence_length: int, window_stride: int, max_windows: int) -> None:
    if not 1 <= window_stride <= sequence_length - 2:
        raise UserError(
            "`window_stride` would skip tokens between windows, or never move on.",
            received=window_stride,
            expected=f"1 to {sequence_length - 2}, a window of {sequence_length} without its "
            "special tokens",
        )
    if max_windows < 1:
        raise UserError("`max_windows` is too small.", received=max_windows, expected="at least 1")
