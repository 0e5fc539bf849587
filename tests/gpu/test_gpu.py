"""What only a GPU can show; skipped where none is visible."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.recipe import load_recipe
from kerasft.training.distribution.strategy import build_strategy, describe_strategy
from kerasft.training.step.precision import resolve_dtype_policy

GPUS = tf.config.list_physical_devices("GPU")
pytestmark = pytest.mark.skipif(not GPUS, reason="needs a GPU that TensorFlow sees")


def run_on(strategy: str, folder, monkeypatch, **settings):
    from kerasft.runs import train

    monkeypatch.chdir(folder)
    overrides = {
        "training.strategy": strategy,
        "training.steps": 8,
        "training.dtype_policy": "float32",
        "data.train_examples": 256,
        "model.dropout": 0.0,
        "model.head_dropout": 0.0,
        "export.enabled": False,
    }
    return train.run(load_recipe("imdb_sample", overrides | settings))


def losses(run):
    return np.array([row["loss"] for row in run.history])


def test_auto_is_mirrored_over_the_gpus():
    strategy = build_strategy("auto")
    assert isinstance(strategy, tf.distribute.MirroredStrategy)
    assert describe_strategy(strategy) == f"MirroredStrategy, {len(GPUS)} x GPU"


def test_mirrored_equals_one_device(tmp_path, monkeypatch):
    mirrored = losses(run_on("mirrored", tmp_path, monkeypatch))
    single = losses(run_on("one_device", tmp_path, monkeypatch))
    np.testing.assert_allclose(mirrored, single, rtol=1e-3)


def test_control_another_seed_differs(tmp_path, monkeypatch):
    first = losses(run_on("mirrored", tmp_path, monkeypatch))
    second = losses(run_on("mirrored", tmp_path, monkeypatch, **{"training.seed": 2}))
    assert np.abs(first - second).max() > 1e-3


def test_mixed_precision_trains_and_exports_float32(tmp_path, monkeypatch):
    policy = resolve_dtype_policy("auto")
    settings = {"training.dtype_policy": policy, "export.enabled": True}
    run = run_on("auto", tmp_path, monkeypatch, **settings)
    assert np.isfinite(losses(run)).all()
    assert run.saved_model.is_dir()
