"""What a run writes is what TensorBoard shows in a browser, tab by tab."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.evaluation.pictures import EvaluationPictures, write_projector
from kerasft.tasks.classification import Classification
from kerasft.training.callbacks.callback import BatchStats, Callbacks, StepResult
from kerasft.training.callbacks.hparams import HParamsCallback
from kerasft.training.callbacks.tensorboard import TensorBoardCallback

STATS = BatchStats(examples=32, tokens=3000, positions=4000, busy=4000, capacity=5000)
LABELS = np.arange(60) % 2
LOGITS = np.random.default_rng(0).normal(size=(60, 2)) + 2 * np.eye(2)[LABELS]
ACCURACY = float((LOGITS.argmax(axis=1) == LABELS).mean())
SETTINGS = {"training.learning_rate": 0.000321, "model.preset": "tiny_random"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder of one run, written by the listeners of a run."""
    runs = tmp_path_factory.mktemp("runs")
    folder = runs / "film-1" / "tensorboard"
    pictures = EvaluationPictures(Classification(("neg", "pos")), 5)
    lengths = {"train": np.arange(5, 50)}
    events = Callbacks(
        [
            TensorBoardCallback(folder, 'name = "film"', lengths=lengths, pictures=pictures),
            HParamsCallback(folder, name="film-1", settings=SETTINGS, metrics=("accuracy",)),
        ]
    )
    events.on_start(start_step=0, total_steps=4, steps_per_epoch=4)
    for step in range(1, 5):
        norms = {"gradient_norm/layer_0": 0.5 / step, "lora_norm/layer_0/query": 0.1 * step}
        result = StepResult(step, 1 / step, 1e-4, 2.5, 0.5, {}, 0.125, norms)
        events.on_step(result, STATS)
    for split in ("validation", "test"):
        events.on_predictions(split, LABELS, LOGITS.astype(np.float32))
        events.on_evaluation(split, 4, {"accuracy": ACCURACY}, best=split == "validation")
    events.on_results(4, {"test/accuracy": ACCURACY})
    events.close()
    texts = [f"a film, number {number}" for number in range(60)]
    names = [("neg", "pos")[label] for label in LABELS]
    vectors = np.random.default_rng(1).normal(size=(60, 8))
    write_projector(folder / "validation", vectors, {"text": texts, "label": names})
    return runs


@pytest.fixture(scope="module")
def tab(written, watch, tmp_path_factory):
    """Opens a tab; returns the page."""
    with watch(written, tmp_path_factory.mktemp("profile")) as (page, address):

        def tab(name, *, until):
            page.open("about:blank")  # a change of the fragment alone loads nothing
            page.open(f"{address}/?{name}#{name}")
            page.wait_for(until)
            return page

        yield tab


def says(*pieces):
    return " && ".join(f"text().includes({piece!r})" for piece in pieces)


def test_scalars(tab):
    page = tab("timeseries", until=says("film-1/tensorboard/train", "gradient_norm", "lora_norm"))
    shown = page.text()
    for group in ("epoch", "memory", "plots", "speed", "step", "tokens_per_text"):
        assert group in shown
    assert "no_such_group" not in shown


def test_hparams(tab):
    page = tab("hparams", until=says("training.learning_rate", "test/accuracy", "film-1"))
    table = page.wait_for(
        "all('vaadin-grid-cell-content').map((cell) => cell.textContent.trim()).join(' ')"
    )
    assert "tiny_random" in table
    assert "0.00032100" in table
    assert f"{ACCURACY:.5f}" in table
    # Only what counts: no curve of a step is among the metrics.
    assert "step/loss" not in page.text()


def test_images(tab):
    page = tab("images", until=says("plots/confusion_matrix"))
    widths = page.wait_for(
        "(() => { const found = all('img').filter((i) => i.src.includes('individualImage')"
        " && i.naturalWidth > 100).map((i) => i.naturalWidth);"
        " return found.length >= 4 && found; })()"
    )
    assert set(widths) == {640}
    assert all(name in page.text() for name in ("reliability_diagram", "roc_curves"))


def test_pr_curves(tab):
    page = tab("pr_curves", until=says("pr_curve/pos/pr_curves", "step 4"))
    assert "pr_curve/neg/pr_curves" in page.text()
    assert page.wait_for("all('svg .plot path, svg path').length > 1")


def test_projector(tab):
    page = tab("projector", until=says("60x8", "Points:", "Total variance described"))
    lines = page.text().splitlines()
    assert lines[lines.index("Points:") + 1] == "60"
    assert "2  colors" in lines  # one for each label
    assert not any("NaN" in line for line in lines)
