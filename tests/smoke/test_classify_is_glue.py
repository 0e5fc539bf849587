"""RTE written out as a CSV file gives what `glue --task rte` gives with the same settings."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import kerasft
from kerasft.data.sources.source import load_source

pytestmark = pytest.mark.slow

SAME = {
    "model.preset": "tiny_random",
    "model.sequence_length": 32,
    "model.truncation": "head",
    "model.dropout": 0.1,
    "data.train_examples": 300,
    "training.steps": 12,
    "training.batch_size": 16,
    "training.learning_rate": 3e-3,
    "training.warmup_steps": 0,
    "training.dtype_policy": "float32",
    "evaluation.batch_size": 64,
    "evaluation.bootstrap_resamples": 20,
    "logging.plots": False,
    "export.verify": False,
    "export.enabled": False,
}
FILES = {
    "data.train_files": ("train.csv",),
    "data.test_files": ("test.csv",),
    "data.text_column": "sentence1",
    "data.text_pair_column": "sentence2",
}


@pytest.fixture(scope="module")
def place(shared_tfds, tmp_path_factory):
    """A folder with RTE's train and validation splits as CSV files."""
    folder = tmp_path_factory.mktemp("rte")
    source = load_source("glue/rte", str(shared_tfds))
    for name, split in (("train.csv", "train"), ("test.csv", "validation")):
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["sentence1", "sentence2", "label"])
            for example in source.iterate(split):
                texts = [example.text.decode(), example.text_pair.decode()]
                writer.writerow([*texts, source.label_names[example.label]])
    return folder


@pytest.fixture(scope="module")
def runs(place, shared_tfds):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("KERASFT_CACHE", str(place / "cache"))
        glue = kerasft.run("glue_rte", {**SAME, "data.data_dir": str(shared_tfds)})
        ours = kerasft.run("classify", {**SAME, **FILES})
        other = kerasft.run("classify", {**SAME, **FILES, "training.learning_rate": 1e-3})
        yield glue, ours, other


def test_the_metrics_are_equal(runs):
    glue, ours, _ = runs
    assert ours.metrics == glue.metrics
    assert glue.metrics["test/support/entailment"] == 146


def test_the_answers_are_equal(runs, place):
    glue, ours, _ = (np.load(place / run.path / "predictions-test.npz") for run in runs)
    np.testing.assert_array_equal(ours["labels"], glue["labels"])
    np.testing.assert_array_equal(ours["logits"], glue["logits"])


def test_control_another_setting_gives_other_metrics(runs):
    glue, _, other = runs
    assert other.metrics["test/log_loss"] != glue.metrics["test/log_loss"]
