"""Tokenized text on disk: made once for each data and tokenizer, then memory-mapped.

A store is a folder named by the sha256 of everything it depends on. Its arrays are plain
little-endian files; `manifest.json` holds their shapes, checksums and the key. The folder is built
next to its final place and renamed; its files are verified whenever it is opened.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasft.data.sources.source import Source
from kerasft.data.store.token_shards import complete_shards, merge_shards
from kerasft.data.store.token_writer import ArrayLayout, array_layouts, write_arrays
from kerasft.folders import cache_folder
from kerasft.run_dir import check_disk_space, telling_os_errors

FORMAT_VERSION = 3
_MANIFEST = "manifest.json"


@dataclasses.dataclass(frozen=True, eq=False)
class TokenStore:
    """The tokenized examples of one split. Arrays are memory-mapped and read-only.

    Attributes:
        token_ids: int32 `(num_tokens,)`: all examples, one after the other.
        segment_ids: int32 `(num_tokens,)` for pairs, else `None` (all zeros).
        lengths: int32 `(num_examples,)`: tokens per example.
        offsets: int64 `(num_examples + 1,)`: where each example starts.
        labels: One row an example, by task: int32 `(num_examples,)`, uint8 zeros and ones
            `(num_examples, num_labels)`, or float32 `(num_examples,)`.
        text_hashes: uint8 `(num_examples, 16)`: see `splits.hash_text`.
        read_hashes: uint8 `(num_examples, 16)`: see `near_copies.read_hashes`.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray | None
    lengths: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    text_hashes: np.ndarray
    read_hashes: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)


def load_or_build_token_store(
    source: Source,
    split: str,
    *,
    preprocessor: Any,
    folder: str | os.PathLike[str] | None = None,
    log: Callable[[str], object] = warnings.warn,
    verify_parts: bool = True,
) -> TokenStore:
    """Opens the tokens of a split; builds them if they are missing or damaged.

    Args:
        source: Where the examples come from.
        split: The dataset's own name of the split.
        preprocessor: Has `tokenize(text, text_pair=None)`, which returns the ragged `token_ids` and
            `segment_ids` of a batch of strings, and `config()`, which returns everything that its
            output depends on as JSON values.
        folder: Holds the stores, one folder each; by default `tokens` in the cache folder.
        log: Called with a message when a damaged store is rebuilt.
        verify_parts: Whether existing shards are verified before they are merged.

    Raises:
        UserError: If the data is empty or damaged, or the disk is full. Nothing is left behind.
    """
    key = _key(source, split, preprocessor)
    store = _place(key, folder)
    with telling_os_errors(store), _locked(store.with_suffix(".lock")):
        if store.exists():
            try:
                return _load(store, key, array_layouts(source))
            except _DamagedError as error:
                log(f"The token store {store} is damaged ({error}): it is rebuilt.")
        parts = complete_shards(store, verify=verify_parts)
        _build(source, split, parts, preprocessor=preprocessor, store=store, key=key)
        return _load(store, key, array_layouts(source))


def store_place(
    source: Source, split: str, preprocessor: Any, folder: str | os.PathLike[str] | None = None
) -> Path:
    """Returns the folder of a split's tokens, which may not exist yet."""
    return _place(_key(source, split, preprocessor), folder)


def _place(key: dict[str, Any], folder: str | os.PathLike[str] | None) -> Path:
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return Path(folder or cache_folder() / "tokens") / digest


class _DamagedError(Exception):
    """The files of a store are not those that were written."""


def _key(source: Source, split: str, preprocessor: Any) -> dict[str, Any]:
    key = {
        "dataset": source.name,
        "version": source.version,
        "fingerprint": source.fingerprint(split),
        "split": split,
        "label_kind": source.label_kind,
        "label_names": source.label_names,
        "preprocessor": preprocessor.config(),
        "format_version": FORMAT_VERSION,
    }
    return json.loads(json.dumps(key))  # as read from the manifest: no tuples


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Makes a second process wait until the store is built."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # released when the file closes, even by a crash
        yield


def _load(store: Path, key: dict[str, Any], layouts: dict[str, ArrayLayout]) -> TokenStore:
    try:
        manifest = json.loads((store / _MANIFEST).read_text())
        if manifest["key"] != key:
            raise _DamagedError(f"{_MANIFEST} belongs to other data")
        arrays = {
            name: _open_array(store / name, manifest["arrays"][name], layout)
            for name, layout in layouts.items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _DamagedError(f"{type(error).__name__}: {error}") from error
    offsets = np.concatenate([[0], np.cumsum(arrays["lengths"], dtype=np.int64)])
    return TokenStore(**({"segment_ids": None} | arrays), offsets=offsets)


def _open_array(path: Path, entry: dict[str, Any], layout: ArrayLayout) -> np.ndarray:
    with path.open("rb") as file:
        if hashlib.file_digest(file, "blake2b").hexdigest() != entry["blake2b"]:
            raise _DamagedError(f"{path.name} does not match its checksum")
    return np.memmap(path, dtype=layout.dtype, mode="r", shape=tuple(entry["shape"]))


def _build(
    source: Source,
    split: str,
    parts: list[Path],
    *,
    preprocessor: Any,
    store: Path,
    key: dict[str, Any],
) -> None:
    check_disk_space(store.parent, _estimate_bytes(source, split), f"the tokens of {source.name}")
    partial = store.with_suffix(".partial")  # exclusive: the caller holds the lock
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        if parts:
            written = merge_shards(parts, array_layouts(source), partial)
        else:
            written = write_arrays(source, split, preprocessor, partial)
        source.check_unchanged(split)  # or the store would have the key of other data
        manifest = {"key": key, "arrays": written["arrays"]}
        (partial / _MANIFEST).write_text(json.dumps(manifest, indent=1))
        shutil.rmtree(store, ignore_errors=True)  # the damaged one, if there was one
        os.replace(partial, store)
        shutil.rmtree(store.with_suffix(".shards"), ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # already gone on success


def _estimate_bytes(source: Source, split: str) -> int:
    """English needs about four bytes of text for a token, and a token takes four bytes."""
    text_bytes = source.num_bytes(split) or 0
    arrays = array_layouts(source).values()
    per_example = sum(array.row_bytes for array in arrays if not array.per_token)
    return text_bytes * (1 + source.has_pairs) + per_example * (source.num_examples(split) or 0)
