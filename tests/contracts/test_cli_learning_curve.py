"""The command line of `kerasft learning-curve`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerasft.metrics.spread import spread
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.learning_curve.curve import Curve, Point
from kerasft.studies.learning_curve.running import SERIES, plan_curve

SIZES = ["--sizes", "100,1000"]


def point(size, *values):
    run_dirs = tuple(f"runs/{size}-{seed}" for seed in range(len(values)))
    return Point(
        size, spread(values), spread([65.4] * len(values)), (1, 2)[: len(values)], run_dirs
    )


@pytest.fixture
def runs(monkeypatch):
    """Stands for the runs of a curve; notes what it was asked for."""
    fake = SimpleNamespace(series=[], points=(point(100, 0.6, 0.62), point(1000, 0.8, 0.83)))

    def run_curve(series, reporting):
        print("a library's chatter")
        reporting.log("A run begins.")
        fake.series.append(series)
        curve = Curve("imdb_quick", "test/accuracy", fake.points, ("A note.",))
        return curve, RunDir(Path("runs/learning_curve-x"))

    monkeypatch.setattr("kerasft.studies.learning_curve.running.run_curve", run_curve)
    return fake


def test_it_takes_recipe_sizes_seeds_and_settings_in_any_order(command, runs):
    argv = ["--seeds", "2", "imdb_quick", "training.epochs=2", *SIZES, "model.dropout=0.1"]
    assert command("learning-curve", *argv).code == 0
    (series,) = runs.series
    recipe = load_recipe("imdb_quick", ["training.epochs=2", "model.dropout=0.1"])
    assert series == plan_curve(recipe, (100, 1000), 2)


def test_people_get_the_table_the_conclusion_and_the_files(command, runs):
    result = command("learning-curve", "imdb_quick", *SIZES)
    rows = [line.split() for line in result.out.splitlines()]
    assert ["1,000", "0.8150", "±", "0.0212", "65", "s", "2"] in rows
    assert "From 100 to 1,000 examples test/accuracy changed by +0.2050" in result.out
    assert "\nA note.\n" in result.out
    assert "plot       runs/learning_curve-x/learning_curve.png\n" in result.out
    assert "chatter" not in result.out
    assert "A run begins.\n" in result.err


def test_one_seed_and_undefined_figures_are_shown_as_such(command, runs):
    runs.points = (point(100, 0.6), point(1000, None))
    out = command("learning-curve", "imdb_quick", *SIZES).out
    assert "0.6000 " in out
    assert "±" not in out
    assert "undefined" in out


def test_with_json_stdout_is_exactly_one_object(command, runs):
    result = command("learning-curve", "imdb_quick", *SIZES, "--json")
    found = json.loads(result.out)
    assert result.out.count("\n") == 1
    assert [p["train_examples"] for p in found["points"]] == [100, 1000]
    assert found["points"][0]["mean"] == pytest.approx(0.61)
    assert found["run_dir"] == "runs/learning_curve-x"
    assert found["files"]["csv"] == "runs/learning_curve-x/learning_curve.csv"
    assert found["conclusion"].startswith("From 100 to 1,000")


def test_it_is_resumed_by_its_folder_alone_or_by_what_it_is(command, runs):
    wanted = plan_curve(load_recipe("imdb_quick"), (100, 1000), None).begin(SERIES)
    for name, sizes, seeds in (("imdb_quick", (100, 300), 3), ("imdb_sample", (100, 1000), 3)):
        plan_curve(load_recipe(name), sizes, seeds).begin(SERIES)
    assert command("learning-curve", "--resume", str(wanted.folder.path)).code == 0
    assert command("learning-curve", "imdb_quick", *SIZES, "--resume").code == 0
    assert [series.folder for series in runs.series] == [wanted.folder] * 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "Which recipe?"),
        ([*SIZES, "--resume"], "Which recipe?"),
        (["imdb_quick"], "How many training examples?"),
        (["imdb_quick", "--resume"], "How many training examples?"),
        (["classify", *SIZES], "names no files to train on"),
        (["imdb_quick", *SIZES, "training.epoch=1"], 'Did you mean "epochs"'),
        (["imdb_quick", *SIZES, "export.enabled=true"], "A learning curve exports no models"),
        (["imdb_quik", *SIZES], 'There is no such recipe. Did you mean "imdb_quick"?'),
        (["imdb_quick", "--sizes", "1000,100"], "--sizes are no sizes of training sets."),
        (["imdb_quick", *SIZES, "--seeds", "0"], "--seeds is how many there are."),
        (["imdb_quick", *SIZES, "data.train_examples=5"], "and data.train_examples is given, too."),
        (["imdb_quick", *SIZES, "--seeds", "2", "training.seed=4"], "and training.seed is given"),
        (["imdb_quick", *SIZES, "training.epochs=1", "--resume"], "no setting can be changed"),
        (["imdb_quick", *SIZES, "--resume"], "There is nothing to resume"),
        (["--resume", "runs/none"], "The folder is not that of a learning curve."),
        (["imdb_quick", *SIZES, "--resume", "training.epochs=1"], "no setting can be changed"),
    ],
)
def test_a_mistake_is_2_before_anything_runs(refused, runs, argv, message):
    refused(message, "learning-curve", *argv)
    assert runs.series == []
