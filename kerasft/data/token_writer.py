"""Writes the arrays of a token store as a stream: memory holds one batch, never the dataset."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import tensorflow as tf

from kerasft.data.example import Example
from kerasft.data.sources import Source
from kerasft.data.splits import HASH_BYTES, text_hashes
from kerasft.errors import UserError

_BATCH_SIZE = 1024


class ArrayLayout(NamedTuple):
    """How an array lies in its file: rows of `row_shape`, one a token or one an example."""

    dtype: str
    row_shape: tuple[int, ...]
    per_token: bool

    @property
    def row_bytes(self) -> int:
        """The size of a row."""
        return np.dtype(self.dtype).itemsize * math.prod(self.row_shape)


# Little-endian whatever the machine, so that a store can be copied.
ARRAYS = {
    "token_ids": ArrayLayout("<i4", (), per_token=True),
    "segment_ids": ArrayLayout("<i4", (), per_token=True),
    "lengths": ArrayLayout("<i4", (), per_token=False),
    "labels": ArrayLayout("<i4", (), per_token=False),
    "text_hashes": ArrayLayout("|u1", (HASH_BYTES,), per_token=False),
}


def write_arrays(
    source: Source,
    split: str,
    preprocessor: Any,
    folder: Path,
    *,
    progress: Callable[[int, int | None], object] | None = None,
) -> dict[str, dict[str, Any] | None]:
    """Tokenizes a split into one file per array, and returns their manifest entries.

    Args:
        source: Where the examples come from.
        split: The dataset's own name of the split.
        preprocessor: See `load_or_build_token_store`.
        folder: An empty folder.
        progress: Is called with (examples done, examples in all or `None`).

    Returns:
        `shape` and `blake2b` by array name; `None` for `segment_ids` when there are no pairs.

    Raises:
        UserError: If the split has no examples.
    """
    names = [name for name in ARRAYS if name != "segment_ids" or source.has_pairs]
    tokenize = _build_tokenize(preprocessor, source.has_pairs)
    num_examples, num_done = source.num_examples(split), 0
    with contextlib.ExitStack() as stack:
        writers = {name: stack.enter_context(_ArrayWriter(folder, name)) for name in names}
        for examples in _batched(source.iterate(split), _BATCH_SIZE):
            batch = _tokenize_batch(tokenize, examples)
            for name, writer in writers.items():
                writer.append(batch[name])
            num_done += len(examples)
            if progress is not None:
                progress(num_done, num_examples)
    if num_done == 0:
        raise UserError(
            f"The {split} split of {source.name} is empty.",
            received=0,
            expected="at least 1 example",
        )
    return {name: writers[name].entry() if name in writers else None for name in ARRAYS}


class _ArrayWriter(contextlib.AbstractContextManager["_ArrayWriter"]):
    """Appends rows to an array's file, with a checksum of what was meant to be written."""

    def __init__(self, folder: Path, name: str):
        self._layout = ARRAYS[name]
        self._file: BinaryIO = (folder / name).open("xb")
        self._digest = hashlib.blake2b()
        self._num_rows = 0

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def append(self, rows: np.ndarray) -> None:
        content = np.ascontiguousarray(rows, dtype=self._layout.dtype).tobytes()
        self._file.write(content)
        self._digest.update(content)
        self._num_rows += len(rows)

    def entry(self) -> dict[str, Any]:
        shape = [self._num_rows, *self._layout.row_shape]
        return {"shape": shape, "blake2b": self._digest.hexdigest()}


def _build_tokenize(preprocessor: Any, has_pairs: bool) -> Callable[..., tuple[Any, Any]]:
    """Tokenizes in a graph, as serving does: TF-Text's eager and graph answers differ."""
    strings = tf.TensorSpec([None], tf.string)
    return tf.function(preprocessor.tokenize, input_signature=[strings] * (1 + has_pairs))


def _tokenize_batch(
    tokenize: Callable[..., tuple[Any, Any]], examples: list[Example]
) -> dict[str, np.ndarray]:
    texts, text_pairs, labels = zip(*examples, strict=True)
    pairs = None if text_pairs[0] is None else text_pairs
    inputs = [texts] if pairs is None else [texts, pairs]
    token_ids, segment_ids = tokenize(*(tf.constant(list(column)) for column in inputs))
    return {
        "token_ids": token_ids.flat_values.numpy(),
        "segment_ids": segment_ids.flat_values.numpy(),
        "lengths": token_ids.row_lengths().numpy(),
        "labels": np.array(labels),
        "text_hashes": text_hashes(texts, pairs),
    }


def _batched(examples: Iterator[Example], size: int) -> Iterator[list[Example]]:
    while batch := list(itertools.islice(examples, size)):
        yield batch
