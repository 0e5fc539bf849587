"""`kerasft tokenize`: by several processes, for the run that follows, and what it refuses."""

from __future__ import annotations

import functools
import json

import pytest

from kerasft.cli.run_command import run_pipeline
from kerasft.data.store import token_shards
from kerasft.runs.data.tokenizing import run_shards


@pytest.fixture
def tokenize(command, monkeypatch, tmp_path):
    """Runs `kerasft tokenize` in an empty folder with an empty cache."""
    monkeypatch.setenv("KERASFT_CACHE", str(tmp_path / "cache"))
    return functools.partial(command, "tokenize")


@pytest.mark.slow
def test_two_processes_make_what_the_run_then_finds(tokenize, tmp_path):
    result = tokenize("imdb_sample", "--processes", "2", "--shards", "2", "--json")
    assert result.code == 0
    stores = json.loads(result.out)["stores"]
    assert [store["split"] for store in stores] == ["train", "test"]
    before = {path.name for path in (tmp_path / "cache" / "tokens").iterdir() if path.is_dir()}
    assert {store["folder"].rpartition("/")[2] for store in stores} == before
    assert all(store["tokens"] > store["examples"] > 0 for store in stores)
    arguments = ["--recipe", "imdb_sample", "training.steps=2", "export.enabled=false"]
    run_pipeline("imdb", arguments)
    assert {p.name for p in (tmp_path / "cache" / "tokens").iterdir() if p.is_dir()} == before


def test_parts_of_several_machines_are_put_together(tokenize, monkeypatch):
    for index in (1, 0):
        assert tokenize("imdb_sample", "--shard", f"{index}/2").code == 0
    monkeypatch.setattr("kerasft.runs.data.tokenizing.run_shards", None)  # nothing is left to do
    read, is_whole = [], token_shards._is_whole
    monkeypatch.setattr(token_shards, "_is_whole", lambda part: read.append(part) or is_whole(part))
    result = tokenize("imdb_sample")
    assert result.code == 0
    assert [line.split()[0] for line in result.out.splitlines()] == ["train", "test"]
    assert len(read) == len(set(read)) == 4  # each part of both splits once


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["imdb_sample", "--shard", "8/8"], "--shard is no part. Received: '8/8'."),
        (["imdb_sample", "--shard", "one"], "--shard is no part."),
        (["imdb_sample", "--processes", "0"], "--processes is a number of them."),
        (["imdb_sampel"], "imdb_sample"),
        (["classify"], "data.train_files"),
    ],
)
def test_a_mistake_is_2(refused, argv, message):
    refused(message, "tokenize", *argv)


def test_a_part_that_fails_is_told(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"Tokenizing failed in part 0 of 2.*exit code 2"):
        run_shards(["no_such_recipe"], 2, 1)
