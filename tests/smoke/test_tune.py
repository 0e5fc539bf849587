"""A search with real processes: killed in the middle of a trial, gone on with, tested once."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys

import pytest

from kerasft.recipe import load_recipe

PATIENCE_SECONDS = 240
RECIPE = """
[data]
dataset = "builtin-sample"
train_examples = 80
test_examples = 20
[model]
preset = "tiny_random"
sequence_length = 16
[training]
steps = 400
batch_size = 8
evaluate_every_steps = 100
checkpoint_every_steps = 20
[evaluation]
bootstrap_resamples = 10
[tuning]
"training.learning_rate" = {choices = [1e-3, 1e-2]}
"""
LIMITS = ["--method", "grid", "--trials", "1", "--finalists", "1", "--seeds", "1"]


@pytest.fixture
def place(make_place):
    made = make_place("tune")
    (made.folder / "mine.toml").write_text(RECIPE)
    return made


def start(place, *arguments):
    with (place.folder / "output.txt").open("a") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "kerasft", "tune", *arguments],
            cwd=place.folder,
            env={**os.environ, **place.environment},
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
        )


def steps_of_trial(place) -> int:
    found = list(place.folder.glob("runs/*/trials/trial-001/*/history.csv"))
    return found[0].read_bytes().count(b"\n") - 1 if found else 0


def test_a_search_is_interrupted_and_goes_on(place):
    first = start(place, "mine.toml", *LIMITS)
    place.wait_until(lambda: steps_of_trial(place) >= 50, first)
    first.send_signal(signal.SIGINT)
    out, _ = first.communicate(timeout=PATIENCE_SECONDS)
    assert (first.returncode, out) == (130, ""), place.output
    assert "tune --resume runs/mine_tuning-" in place.output
    (folder,) = place.folder.glob("runs/*")
    before = (folder / "trials" / "baseline" / "outcome.json").stat().st_mtime_ns
    assert 50 <= steps_of_trial(place) < 400

    second = start(place, "--resume", str(folder), "--json")
    out, _ = second.communicate(timeout=PATIENCE_SECONDS)
    assert second.returncode == 0, place.output
    result = json.loads(out)
    assert (folder / "trials" / "baseline" / "outcome.json").stat().st_mtime_ns == before
    assert (folder / "trials" / "trial-001" / "stderr.txt").read_text().count("Resuming") == 1
    with (folder / "trials.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["completed", "completed"]
    assert 0 <= result["test"]["test/accuracy"] <= 1
    tested = [
        path for path in folder.glob("trials/*/*") if (path / "predictions-test.npz").exists()
    ]
    assert [str(path) for path in tested] == [result["tested_run"]]
    best = load_recipe(folder / "best.toml")
    assert (best.name, best.evaluation.test, best.export.enabled) == ("mine_tuned", True, True)
