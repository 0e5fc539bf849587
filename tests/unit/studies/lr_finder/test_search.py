"""The range test of a recipe: what it trains on, what it writes, what it suggests to set."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir, open_run_dir
from kerasft.runs import train
from kerasft.studies.lr_finder import finder as rate_finder
from kerasft.studies.lr_finder.curve import RateCurve, Suggestion
from kerasft.studies.lr_finder.search import RateRange, RateSearch, find_learning_rate
from kerasft.training.loop.memory import OutOfMemoryError

RATES = RateRange(1e-6, 1e-2, 24)


def read_events(folder):
    """Returns `{tag: {step: tensor}}` of all event files below a folder."""
    values = {}
    for path in sorted(folder.rglob("*tfevents*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                values.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return values


def test_curve_plot_and_tensorboard_tell_of_the_same_steps(make_recipe):
    recipe = make_recipe()
    search = find_learning_rate(recipe, RATES)
    folder = search.folder.path
    assert folder.name.startswith("find_lr-imdb_sample-")
    rows = list(csv.DictReader(search.csv_path.read_text().splitlines()))
    assert list(rows[0]) == ["step", "learning_rate", "loss", "smoothed_loss"]
    columns = {name: [float(row[name]) for row in rows] for name in rows[0]}
    assert columns["step"] == list(range(1, 25))
    np.testing.assert_allclose(columns["learning_rate"], np.geomspace(1e-6, 1e-2, 24), rtol=1e-4)
    np.testing.assert_allclose(columns["loss"], search.curve.losses, rtol=1e-8)
    np.testing.assert_allclose(columns["smoothed_loss"], search.curve.smoothed(), rtol=1e-8)
    assert search.plot_path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"

    events = read_events(folder / "tensorboard")
    for tag, column in (("step/loss", "loss"), ("step/learning_rate", "learning_rate")):
        assert list(events[tag]) == list(range(1, 25))
        np.testing.assert_allclose(list(events[tag].values()), columns[column], rtol=1e-6)
    ((step, image),) = events["find_lr"].items()
    assert (step, image[0]) == (24, b"960")

    found = json.loads((folder / "find_lr.json").read_text())
    assert found == search.to_json()
    assert (found["recipe"], found["steps"], found["diverged"]) == ("imdb_sample", 24, False)
    assert load_recipe(folder / "find_lr.toml").values() == search.recipe.values()
    with pytest.raises(UserError, match="This is not a run directory"):
        open_run_dir(folder)


def test_the_steps_are_those_of_a_run(make_recipe):
    """The first loss comes before any update, so that no rate tells one from the other."""
    first = find_learning_rate(make_recipe(), RATES).curve.losses[0]
    assert first == pytest.approx(train.run(make_recipe()).history[0]["loss"], rel=1e-6)
    other = find_learning_rate(make_recipe({"training.seed": 2}), RATES).curve.losses[0]
    assert first != pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"training.mode": "features"},
        {"training.unfreeze_every_steps": 1, "training.layer_decay": 0.9},
        {"adapter.method": "lora", "augmentation.deletion": 0.2, "training.ema_decay": 0.9},
    ],
    ids=["features", "unfreezing", "adapter"],
)
def test_every_way_of_training_can_be_tested(make_recipe, settings):
    search = find_learning_rate(make_recipe(settings), RATES._replace(num_steps=20))
    assert np.isfinite(search.curve.losses).all()
    assert len(search.curve.losses) == 20
    # All layers are there from the start: a rate for the head alone would be too high for them.
    assert search.recipe.training.unfreeze_every_steps is None


def test_a_mistake_in_the_recipe_leaves_no_folder(make_recipe):
    with pytest.raises(UserError, match=r"validation/f1/good"):
        find_learning_rate(make_recipe({"training.monitor": "validation/f1/good"}), RATES)
    assert not Path("runs").exists()


def test_out_of_memory_is_no_divergence_and_named(make_recipe, monkeypatch):
    train_steps = rate_finder.train_steps

    def short_of_memory(*arguments, **options):
        for result in train_steps(*arguments, **options):
            if result.step == 3:
                tf.fill([2**30, 2**20], 1.0)  # more bytes than a process can address
            yield result

    monkeypatch.setattr(rate_finder, "train_steps", short_of_memory)
    expected = r"Memory ran out in the learning-rate range test.*Fix: set training\.gradient_acc"
    with pytest.raises(OutOfMemoryError, match=expected):
        find_learning_rate(make_recipe(), RATES)


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (RateRange(num_steps=19), r"too few steps to see a curve.*--steps 19.*at least 20"),
        (RateRange(1e-3, 1e-3), r"two rates are no range.*--lowest 0.001 --highest 0.001"),
        (RateRange(1e-2, 1e-3), r"expected: 0 < lowest < highest <= 1"),
        (RateRange(0.0, 1e-3), r"no range.*--lowest 0 "),
        (RateRange(-1e-6, 1e-3), r"no range"),
        (RateRange(1e-6, 1.5), r"no range.*--highest 1.5"),
        (RateRange(float("nan"), 1.0), r"no range.*--lowest nan"),
        (RateRange(1e-6, float("inf")), r"no range.*--highest inf"),
    ],
)
def test_a_range_that_is_none_is_refused_before_anything_is_loaded(rates, message, make_recipe):
    with pytest.raises(UserError, match=f"(?i){message}"):
        find_learning_rate(make_recipe({"model.preset": "no/such/preset"}), rates)


def test_the_usual_range_is_one():
    RateRange().check()
    RateRange(num_steps=20).check()


def search_of(rate, **training):
    recipe = load_recipe("imdb_sample", {f"training.{key}": v for key, v in training.items()})
    curve = RateCurve(np.array([1e-5, 1e-4]), np.array([0.5, 0.4]), 24)
    return RateSearch(recipe, RunDir(Path("runs/a")), curve, Suggestion(rate, rate, "For a test."))


def test_a_suggestion_is_a_setting():
    assert search_of(3e-4).settings == {"training.learning_rate": 3e-4}
    assert search_of(None).settings == {}


def test_a_head_with_a_rate_of_its_own_keeps_its_ratio():
    search = search_of(3e-4, learning_rate=1e-4, head_learning_rate=1e-3)
    assert search.settings == {
        "training.learning_rate": 3e-4,
        "training.head_learning_rate": pytest.approx(3e-3),
    }
    capped = search_of(0.5, learning_rate=1e-4, head_learning_rate=1e-3)
    assert capped.settings["training.head_learning_rate"] == 1.0


def test_the_settings_are_overrides_that_a_recipe_takes():
    search = search_of(3.2e-4, learning_rate=1e-4, head_learning_rate=1e-3)
    assert search.overrides == [
        "training.learning_rate=3.2e-4",
        "training.head_learning_rate=3.2e-3",
    ]
    recipe = load_recipe("imdb_sample", search.overrides)
    assert recipe.training.learning_rate == 3.2e-4
    assert search_of(None).overrides == []
