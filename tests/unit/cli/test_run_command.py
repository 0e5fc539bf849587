"""Who shows how a run gets on, where several processes do."""

from __future__ import annotations

import json

import pytest

from kerasft.recipe import load_recipe
from kerasft.runs.terminal import build_progress
from kerasft.training.callbacks.terminal import ProgressCallback


@pytest.mark.parametrize(
    ("index", "strategy", "shows"),
    [
        (0, "auto", True),
        (1, "auto", False),
        (1, "multi_worker", False),
        (1, "one_device", True),  # a run of its own, whatever the others do
        (1, "mirrored", True),
    ],
)
def test_the_chief_of_each_run_shows_its_progress(monkeypatch, index, strategy, shows):
    config = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": index}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    recipe = load_recipe("imdb_sample", {"training.strategy": strategy})
    assert isinstance(build_progress(recipe), ProgressCallback) is shows
