"""Stand-ins for a dataset and a tokenizer, small enough to check by hand."""

import dataclasses
import hashlib

import pytest
import tensorflow as tf

from kerasft.data.example import SINGLE, Example


@dataclasses.dataclass
class FakeSource:
    """A source over a list of examples that counts how often it is read."""

    examples: list[Example]
    name: str = "fake/plain"
    version: str = "1.0.0"
    label_names: tuple[str, ...] = ("neg", "pos")
    label_kind: str = SINGLE
    num_reads: int = 0
    num_yielded: int = 0

    @property
    def has_pairs(self):
        return bool(self.examples) and self.examples[0].text_pair is not None

    def has_split(self, split):
        return True

    def num_examples(self, split):
        return len(self.examples)

    def num_bytes(self, split):
        return sum(len(example.text) for example in self.examples)

    def iterate(self, split):
        self.num_reads += 1
        for example in self.examples:
            self.num_yielded += 1
            yield example

    def fingerprint(self, split):
        return hashlib.sha256(repr(self.examples).encode()).hexdigest()

    def check_unchanged(self, split):
        """Nothing changes the examples."""


@dataclasses.dataclass
class FakePreprocessor:
    """One token per byte, 1 + its value; the second text lies in segment 1."""

    sequence_length: int = 100

    def config(self):
        return {"kind": "bytes", "sequence_length": self.sequence_length, "parts": ("a", "b")}

    def tokenize(self, text, text_pair=None):
        if not tf.inside_function():
            raise RuntimeError("tokenize must run in a graph")
        first = self._ids(text)
        if text_pair is None:
            return first, tf.zeros_like(first)
        second = self._ids(text_pair)
        segments = tf.concat([tf.zeros_like(first), tf.ones_like(second)], axis=1)
        return tf.concat([first, second], axis=1), segments

    def _ids(self, text):
        characters = tf.strings.bytes_split(text)[:, : self.sequence_length]
        return tf.ragged.map_flat_values(
            lambda flat: tf.cast(tf.io.decode_raw(flat, tf.uint8)[:, 0], tf.int32) + 1, characters
        )


@pytest.fixture
def make_source():
    def make(texts, pairs=None, labels=None, **fields):
        pairs = pairs or [None] * len(texts)
        labels = labels or [index % 2 for index in range(len(texts))]
        return FakeSource(list(map(Example, texts, pairs, labels)), **fields)

    return make


@pytest.fixture
def make_preprocessor():
    return FakePreprocessor
