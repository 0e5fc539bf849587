"""Tokenizes a split in shards, by several processes or machines, and merges them.

A shard is a folder `00003-of-00008` next to the token store, complete or absent: a killed run does
not repeat finished shards. The merged store is byte for byte the one that a single process makes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasft.data.store.token_writer import ArrayLayout, Shard, write_arrays, write_batches

_MANIFEST = "manifest.json"


def shard_folder(store: Path, shard: Shard) -> Path:
    """Returns the folder of a shard of a store."""
    return store.with_suffix(".shards") / f"{shard.index:05d}-of-{shard.count:05d}"


def write_shard(
    source: Any,
    split: str,
    preprocessor: Any,
    store: Path,
    shard: Shard,
) -> bool:
    """Tokenizes a shard of a split, unless it exists; returns whether it was tokenized now."""
    final = shard_folder(store, shard)
    if (final / _MANIFEST).is_file():
        return False
    beside = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        manifest = write_arrays(source, split, preprocessor, beside, shard=shard)
        source.check_unchanged(split)  # or the shard could be merged with those of other data
        (beside / _MANIFEST).write_text(json.dumps(manifest))
        shutil.rmtree(final, ignore_errors=True)
        os.replace(beside, final)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return True


def complete_shards(store: Path, *, verify: bool = True) -> list[Path]:
    """Returns the shards of a store in order, or none if one is missing.

    With `verify` all of them are read; a damaged shard is removed, and so is missing, too.
    """
    folder = store.with_suffix(".shards")
    for count in sorted({int(found.name[-5:]) for found in folder.glob("?????-of-?????")}):
        parts = [shard_folder(store, Shard(index, count)) for index in range(count)]
        if not all((part / _MANIFEST).is_file() for part in parts):
            continue
        damaged = [part for part in parts if verify and not _is_whole(part)]
        if not damaged:
            return parts
        for part in damaged:
            shutil.rmtree(part)
    return []


def _is_whole(part: Path) -> bool:
    for name, entry in json.loads((part / _MANIFEST).read_text())["arrays"].items():
        with (part / name).open("rb") as file:
            if hashlib.file_digest(file, "blake2b").hexdigest() != entry["blake2b"]:
                return False
    return True


def merge_shards(
    parts: list[Path], layouts: Mapping[str, ArrayLayout], folder: Path
) -> dict[str, Any]:
    """Merges the shards of `complete_shards` batch by batch into an empty folder.

    Returns what `write_arrays` does.
    """
    return write_batches(_read_batches(parts, layouts), layouts, folder)


def _read_batches(
    parts: list[Path], layouts: Mapping[str, ArrayLayout]
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the batches in the order of the split: the next one of each shard in turn."""
    sizes = [json.loads((part / _MANIFEST).read_text())["batches"] for part in parts]
    arrays = [
        {name: _open(part / name, layout) for name, layout in layouts.items()} for part in parts
    ]
    starts = [(0, 0) for _ in parts]
    for number in range(sum(map(len, sizes))):
        index, rank = number % len(parts), number // len(parts)
        example, token = starts[index]
        stops = example + sizes[index][rank][0], token + sizes[index][rank][1]
        of_example, of_token = slice(example, stops[0]), slice(token, stops[1])
        yield {
            name: arrays[index][name][of_token if layout.per_token else of_example]
            for name, layout in layouts.items()
        }
        starts[index] = stops


def _open(path: Path, layout: ArrayLayout) -> np.ndarray:
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.zeros((0, *layout.row_shape), layout.dtype)
    shape = (path.stat().st_size // layout.row_bytes, *layout.row_shape)
    return np.memmap(path, dtype=layout.dtype, mode="r", shape=shape)
