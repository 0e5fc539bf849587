"""Writes the arrays of a token store as a stream: memory holds one batch, never the dataset."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tensorflow as tf

from kerasft.data.example import MULTI, NUMBER, SINGLE, Example, batched
from kerasft.data.plan.splits import HASH_BYTES, text_hashes
from kerasft.data.sources.source import Source
from kerasft.data.store.near_copies import read_hashes
from kerasft.errors import UserError

_BATCH_SIZE = 1024


class Shard(NamedTuple):
    """One shard of a split: every `count`-th batch, starting at `index`."""

    index: int
    count: int


class ArrayLayout(NamedTuple):
    """How an array is stored in its file: rows of `row_shape`, one a token or one an example."""

    dtype: str
    row_shape: tuple[int, ...]
    per_token: bool

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.row_shape)


def array_layouts(source: Source) -> dict[str, ArrayLayout]:
    """Returns the layouts of a source's arrays, by name.

    Little-endian on every machine, so that a store can be copied. Only pairs have `segment_ids`. A
    label is a class index, a row of zeros and ones, or a number.
    """
    labels = {
        SINGLE: ArrayLayout("<i4", (), per_token=False),
        MULTI: ArrayLayout("|u1", (len(source.label_names),), per_token=False),
        NUMBER: ArrayLayout("<f4", (), per_token=False),
    }
    layouts = {
        "token_ids": ArrayLayout("<i4", (), per_token=True),
        "segment_ids": ArrayLayout("<i4", (), per_token=True),
        "lengths": ArrayLayout("<i4", (), per_token=False),
        "labels": labels[source.label_kind],
        "text_hashes": ArrayLayout("|u1", (HASH_BYTES,), per_token=False),
        "read_hashes": ArrayLayout("|u1", (HASH_BYTES,), per_token=False),
    }
    if not source.has_pairs:
        del layouts["segment_ids"]
    return layouts


def write_arrays(
    source: Source,
    split: str,
    preprocessor: Any,
    folder: Path,
    *,
    shard: Shard | None = None,
) -> dict[str, Any]:
    """Tokenizes a split, or one shard of it, into one file per array, in an empty folder.

    A shard may be empty.

    Returns:
        For the manifest: `arrays`, `shape` and `blake2b` by array name; `batches`, the number of
        examples and tokens of each tokenized batch.

    Raises:
        UserError: If the split has no examples.
    """
    tokenize = build_tokenize(preprocessor, source.has_pairs)
    batches = enumerate(batched(source.iterate(split), _BATCH_SIZE))
    written = write_batches(
        (
            _tokenize_batch(tokenize, examples, source)
            for number, examples in batches
            if shard is None or number % shard.count == shard.index
        ),
        array_layouts(source),
        folder,
    )
    if not written["batches"] and shard is None:
        raise UserError(
            f"The {split} split of {source.name} is empty.",
            received=0,
            expected="at least 1 example",
        )
    return written


def write_batches(
    batches: Iterable[Mapping[str, np.ndarray]], layouts: Mapping[str, ArrayLayout], folder: Path
) -> dict[str, Any]:
    """Writes the arrays of batches one after the other; returns what `write_arrays` does."""
    sizes = []
    with contextlib.ExitStack() as stack:
        writers = {
            name: stack.enter_context(ArrayWriter(folder / name, layout))
            for name, layout in layouts.items()
        }
        for batch in batches:
            for name, writer in writers.items():
                writer.append(batch[name])
            sizes.append([len(batch["lengths"]), len(batch["token_ids"])])
    arrays = {name: writer.entry() for name, writer in writers.items()}
    return {"arrays": arrays, "batches": sizes}


class ArrayWriter(contextlib.AbstractContextManager["ArrayWriter"]):
    """Appends rows to an array's file, with a checksum of the intended content."""

    def __init__(self, path: Path, layout: ArrayLayout):
        self._layout = layout
        self._file: BinaryIO = path.open("xb")
        self._digest = hashlib.blake2b()
        self._num_rows = 0

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        """Appends rows."""
        content = np.ascontiguousarray(rows, dtype=self._layout.dtype).tobytes()
        self._file.write(content)
        self._digest.update(content)
        self._num_rows += len(rows)

    def entry(self) -> dict[str, Any]:
        """Returns the array's manifest entry: `shape` and `blake2b`."""
        shape = [self._num_rows, *self._layout.row_shape]
        return {"shape": shape, "blake2b": self._digest.hexdigest()}


def build_tokenize(preprocessor: Any, has_pairs: bool) -> Callable[..., tuple[Any, Any]]:
    """Tokenizes in a graph, as serving does: TF-Text's eager and graph outputs differ."""
    strings = tf.TensorSpec([None], tf.string)
    return tf.function(
        preprocessor.tokenize, input_signature=[strings] * (1 + has_pairs), autograph=False
    )


def _tokenize_batch(
    tokenize: Callable[..., tuple[Any, Any]], examples: list[Example], source: Source
) -> dict[str, np.ndarray]:
    texts, text_pairs, labels = zip(*examples, strict=True)
    pairs = None if text_pairs[0] is None else text_pairs
    inputs = [texts] if pairs is None else [texts, pairs]
    token_ids, segment_ids = tokenize(*(tf.constant(list(column)) for column in inputs))
    return {
        "token_ids": token_ids.flat_values.numpy(),
        "segment_ids": segment_ids.flat_values.numpy(),
        "lengths": token_ids.row_lengths().numpy(),
        "labels": _label_rows(labels, source),
        "text_hashes": text_hashes(texts, pairs),
        "read_hashes": read_hashes(texts, pairs),
    }


def _label_rows(labels: Sequence[Any], source: Source) -> np.ndarray:
    if source.label_kind != MULTI:
        return np.array(labels)
    rows = np.zeros((len(labels), len(source.label_names)), np.uint8)
    for row, indices in zip(rows, labels, strict=True):
        row[list(indices)] = 1
    return rows
