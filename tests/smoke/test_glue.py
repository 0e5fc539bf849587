"""GLUE from its data to the leaderboard's file, with a tiny random encoder and two steps."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import kerasft
from kerasft.benchmarks.glue.leaderboard import validate_submission
from kerasft.data.sources.source import load_source
from kerasft.pipelines import glue

QUICK = [
    "model.preset=tiny_random",
    "model.sequence_length=32",
    "training.steps=2",
    "training.learning_rate=1e-2",
    "data.train_examples=200",
    "data.test_examples=60",
    "evaluation.bootstrap_resamples=10",
    "logging.plots=false",
    "export.verify=false",
]


@pytest.fixture
def printed(shared_tfds, tmp_path, monkeypatch, capsys):
    """What `--task stsb --seeds 2 --submission out --json` prints, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    argv = ["--task", "stsb", "--seeds", "2", "--submission", "out", "--json"]
    monkeypatch.setattr(
        sys, "argv", ["glue", *argv, *QUICK, f'data.data_dir="{shared_tfds.as_posix()}"']
    )
    assert glue.main() == 0
    return json.loads(capsys.readouterr().out)


def test_answers_are_those_of_the_best_seeds_model_in_the_official_order(printed, shared_tfds):
    run_dirs = printed["run_dirs"]["stsb"]
    by_seed = {}
    for seed, run_dir in enumerate(run_dirs, start=1):
        metrics = json.loads(Path(run_dir, "metrics.json").read_text())["metrics"]
        by_seed[seed] = metrics["validation/pearson"]
    assert printed["best_seeds"]["stsb"] == max(by_seed, key=by_seed.get)
    pearson = printed["table"]["tasks"]["stsb"]["metrics"]["Pearson"]
    assert pearson["std"] == pytest.approx(np.std(pearson["values"], ddof=1))
    assert printed["metrics"]["stsb/test/pearson"] == pytest.approx(pearson["mean"] / 100)
    assert "data.train_examples=200: not all of GLUE's." in printed["notes"]

    assert validate_submission("out/submission.zip").files == ("STS-B.tsv",)
    lines = Path("out/STS-B.tsv").read_text().splitlines()[1:]
    answers = np.array([float(line.split("\t")[1]) for line in lines])

    source = load_source("glue/stsb", data_dir=shared_tfds)
    rows = source.read_column("test", "idx")[:40]
    examples = [example for example, _ in zip(source.iterate("test"), rows, strict=False)]
    texts = [example.text.decode() for example in examples]
    pairs = [example.text_pair.decode() for example in examples]
    predictor = kerasft.load(printed["saved_models"]["stsb"])
    expected = [answer["value"] for answer in predictor.predict(texts, pairs)]
    np.testing.assert_allclose(answers[rows], expected, atol=6e-4)  # three decimals
    assert np.abs(answers[:40] - expected).max() > 6e-4  # the control: the dataset's own order
