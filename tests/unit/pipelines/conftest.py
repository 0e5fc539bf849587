"""A recipe that loads in a moment, and sessions of it."""

from __future__ import annotations

import pytest

from kerasft.pipelines.session import Session
from kerasft.recipe import load_recipe
from kerasft.run_dir import create_run_dir

QUICK = {
    "data.train_examples": 40,
    "data.test_examples": 20,
    "model.sequence_length": 16,
    "training.steps": 4,
    "training.batch_size": 8,
    "training.dtype_policy": "float32",
    "evaluation.bootstrap_resamples": 10,
    "export.verify": False,
    "logging.plots": False,
}


@pytest.fixture
def make_recipe():
    """Makes `imdb_sample` with few examples, and what else is changed."""

    def make(overrides=None, name="imdb_sample"):
        return load_recipe(name, {**QUICK, **(overrides or {})})

    return make


@pytest.fixture
def make_session(make_recipe, tmp_path, monkeypatch):
    """Makes a session with a new run directory, in an empty folder; its data is not loaded."""
    monkeypatch.chdir(tmp_path)

    def make(overrides=None, *, events=(), **options):
        recipe = make_recipe(overrides, **options)
        run_dir = create_run_dir(recipe.name)
        run_dir.write_text("recipe.toml", recipe.to_toml())
        return Session(recipe, run_dir, events)

    return make
