"""Parts of a token store, put together, are the store that one process makes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kerasft.data.sources.source import load_source
from kerasft.data.store import token_writer
from kerasft.data.store.token_shards import complete_shards, shard_folder, write_shard
from kerasft.data.store.token_store import load_or_build_token_store, store_place
from kerasft.data.store.token_writer import Shard
from kerasft.models.tiny_random import load_vocabulary
from kerasft.text.wordpiece import WordPiecePreprocessor

SPLIT = "train"


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """The built-in sample in batches of 256, and a preprocessor for it."""
    monkeypatch.setattr(token_writer, "_BATCH_SIZE", 256)
    source = load_source("builtin-sample", None, True, log=lambda text: None)
    preprocessor = WordPiecePreprocessor(load_vocabulary(), sequence_length=24)
    store = store_place(source, SPLIT, preprocessor, tmp_path / "tokens")

    def write(index, count):
        return write_shard(source, SPLIT, preprocessor, store, Shard(index, count))

    def load(folder="tokens"):
        return load_or_build_token_store(
            source, SPLIT, preprocessor=preprocessor, folder=tmp_path / folder
        )

    return store, write, load


def checksums(folder):
    return json.loads((folder / "manifest.json").read_text())["arrays"]


@pytest.mark.parametrize("count", [1, 3, 12])  # of the last some hold nothing
def test_together_they_are_byte_for_byte_the_store_of_one_process(parts, count):
    store, write, load = parts
    assert all(write(index, count) for index in reversed(range(count)))
    load()
    expected = load("alone")
    alone = next(path for path in (store.parents[1] / "alone").iterdir() if path.is_dir())
    assert checksums(store) == checksums(alone)
    np.testing.assert_array_equal(load().token_ids, expected.token_ids)
    assert not store.with_suffix(".shards").exists()


def test_what_is_there_is_not_done_again_and_alone_is_no_store(parts):
    store, write, load = parts
    assert write(0, 2)
    assert not write(0, 2)
    assert complete_shards(store) == []
    assert len(load()) > 0  # tokenized by this process, all of it


def test_a_damaged_one_is_removed_and_made_again(parts):
    store, write, _ = parts
    for index in (0, 1):
        write(index, 2)
    damaged = shard_folder(store, Shard(1, 2))
    content = bytearray((damaged / "token_ids").read_bytes())
    content[-1] ^= 1
    (damaged / "token_ids").write_bytes(content)
    assert complete_shards(store) == []
    assert not damaged.exists()
    assert write(1, 2)
    assert len(complete_shards(store)) == 2


def test_a_part_that_fails_leaves_nothing(parts, monkeypatch):
    store, write, _ = parts

    def fail(*arguments):
        raise OSError("gone")

    monkeypatch.setattr(token_writer, "text_hashes", fail)
    with pytest.raises(OSError, match="gone"):
        write(0, 2)
    assert list(store.with_suffix(".shards").iterdir()) == []
