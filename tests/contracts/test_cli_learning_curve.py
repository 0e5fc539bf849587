"""The command line of `kerasft learning-curve`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerasft import pipelines
from kerasft.metrics.spread import spread
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.learning_curve.curve import Curve, Point
from kerasft.studies.learning_curve.plan import SERIES, recipes_of_sizes
from kerasft.studies.series import create_series

SIZES = ["--sizes", "100,1000"]


def point(size, *values):
    run_dirs = tuple(f"runs/{size}-{seed}" for seed in range(len(values)))
    return Point(
        size, spread(values), spread([65.4] * len(values)), (1, 2)[: len(values)], run_dirs
    )


@pytest.fixture
def runs(monkeypatch):
    """Stands for the runs of a curve; notes what it was asked for."""
    fake = SimpleNamespace(plans=[], points=(point(100, 0.6, 0.62), point(1000, 0.8, 0.83)))

    def run_curve(plan, *, new_events, log):
        print("a library's chatter")
        log("A run begins.")
        fake.plans.append(plan)
        curve = Curve("imdb_quick", "test/accuracy", fake.points, ("A note.",))
        return curve, RunDir(Path("runs/learning_curve-x"))

    fake.run_curve = run_curve
    monkeypatch.setitem(sys.modules, "kerasft.studies.learning_curve.running", fake)
    monkeypatch.setattr(pipelines, "learning_curve_runs", fake, raising=False)
    return fake


def test_it_takes_recipe_sizes_seeds_and_settings_in_any_order(command, runs):
    argv = ["--seeds", "2", "imdb_quick", "training.epochs=2", *SIZES, "model.dropout=0.1"]
    assert command("learning-curve", *argv).code == 0
    (plan,) = runs.plans
    assert plan.recipe == load_recipe("imdb_quick", ["training.epochs=2", "model.dropout=0.1"])
    assert (plan.sizes, plan.num_seeds) == ((100, 1000), 2)


def test_three_seeds_are_the_usual(command, runs):
    command("learning-curve", "imdb_quick", *SIZES)
    assert runs.plans[0].num_seeds == 3


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
    recipes = recipes_of_sizes(load_recipe("imdb_quick"), (100, 1000))
    series = create_series(SERIES, recipes, 3)
    folder = str(series.folder.path)
    assert command("learning-curve", "--resume", folder).code == 0
    assert command("learning-curve", "imdb_quick", *SIZES, "--resume").code == 0
    assert [plan.series.folder for plan in runs.plans] == [series.folder] * 2


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "Which recipe?"),
        (["imdb_quick"], "How many training examples?"),
        (["imdb_quik", *SIZES], 'There is no such recipe. Did you mean "imdb_quick"?'),
        (["imdb_quick", "--sizes", "1000,100"], "--sizes are no sizes of training sets."),
        (["imdb_quick", "--sizes", "100"], "at least two"),
        (["imdb_quick", *SIZES, "--seeds", "0"], "--seeds is how many there are."),
        (["imdb_quick", *SIZES, "--seeds", "two"], "invalid int value: 'two'"),
        (["imdb_quick", *SIZES, "data.train_examples=5"], "and data.train_examples is given, too."),
        (["imdb_quick", *SIZES, "--seeds", "2", "training.seed=4"], "and training.seed is given"),
        (["imdb_quick", *SIZES, "--resume"], "There is nothing to resume"),
        (["--resume", "runs/none"], "The folder is not that of a learning curve."),
        (["imdb_quick", *SIZES, "--resume", "training.epochs=1"], "no setting can be changed"),
    ],
)
def test_a_mistake_is_2_before_anything_runs(command, runs, argv, message):
    result = command("learning-curve", *argv)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert runs.plans == []
    assert not Path("runs").exists()
