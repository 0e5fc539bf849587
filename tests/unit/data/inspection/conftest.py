"""A source of several splits, written in a line or two."""

import dataclasses

import numpy as np
import pytest

from kerasft.data.example import SINGLE, Example
from kerasft.data.inspection import inspect_source


@dataclasses.dataclass
class SplitSource:
    """Examples by split."""

    examples: dict[str, list[Example]]
    groups: dict[str, np.ndarray]
    label_names: tuple[str, ...] = ("neg", "pos")
    label_kind: str = SINGLE
    name: str = "fake"
    version: str = "1"
    dropped: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)

    @property
    def has_pairs(self):
        return any(
            example.text_pair is not None for rows in self.examples.values() for example in rows
        )

    def has_split(self, split):
        return split in self.examples

    def iterate(self, split):
        yield from self.examples[split]

    def group_hashes(self, split):
        return self.groups.get(split)

    def num_dropped(self, split):
        return self.dropped.get(split, {})


@pytest.fixture
def make_source():
    """Builds a source of `{split: [(text, label) or (text, text_pair, label)]}`."""

    def make(rows, groups=None, **fields):
        examples = {
            split: [
                Example(text.encode(), *(part.encode() for part in pair), label)
                if pair
                else Example(text.encode(), None, label)
                for text, *pair, label in split_rows
            ]
            for split, split_rows in rows.items()
        }
        return SplitSource(examples, groups or {}, **fields)

    return make


@pytest.fixture
def inspect(make_source):
    """Inspects a source of given rows."""

    def run(rows, *, groups=None, preprocessor=None, sequence_length=None, **fields):
        source = make_source(rows, groups, **fields)
        return inspect_source(source, preprocessor=preprocessor, sequence_length=sequence_length)

    return run


@pytest.fixture
def balanced():
    """Twenty different texts, ten of each class: nothing is wrong with them."""
    return [(f"a text of its own, number {row}", row % 2) for row in range(20)]
