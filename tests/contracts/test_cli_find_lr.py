"""The command line of `kerasft find-lr`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from kerasft.cli import find_lr
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.lr_finder.curve import RateCurve, Suggestion
from kerasft.studies.lr_finder.search import RateRange, RateSearch


@pytest.fixture
def search(monkeypatch):
    """Stands for the test itself; notes what it was asked for, and suggests `rate`."""

    class FakeSearch:
        rate, calls = 3.2e-5, []

        def __call__(self, recipe, rates, *, callbacks):
            print("a library's chatter")
            self.calls.append((recipe, rates))
            curve = RateCurve(np.array([1e-6, 1e-3]), np.array([0.7, 0.3]), 200, diverged=True)
            suggestion = Suggestion(self.rate, self.rate, "For the test's sake.")
            return RateSearch(recipe, RunDir(Path("runs/find_lr-x")), curve, suggestion)

    fake = FakeSearch()
    fake.calls = []
    monkeypatch.setattr(find_lr, "find_learning_rate", fake)
    monkeypatch.setattr(find_lr, "program", lambda name: name)
    return fake


def test_it_takes_the_recipe_its_settings_and_the_range_in_any_order(command, search):
    argv = ["--steps", "100", "imdb_quick", "training.batch_size=16", "--lowest", "1e-6"]
    assert command("find-lr", *argv, "model.dropout=0.1", "--highest", "1e-2").code == 0
    ((recipe, rates),) = search.calls
    overrides = ["training.batch_size=16", "model.dropout=0.1"]
    assert recipe == load_recipe("imdb_quick", overrides)
    assert rates == RateRange(1e-6, 1e-2, 100)


def test_the_usual_range_needs_no_option(command, search):
    command("find-lr", "imdb")
    assert search.calls[0][1] == RateRange(1e-7, 1.0, 200)


def test_the_suggestion_is_a_setting_to_paste(command, search):
    result = command("find-lr", "imdb", "training.learning_rate=1e-3", "training.epochs=1")
    first, *others = result.out.splitlines()
    assert first == "training.learning_rate=3.2e-5"
    load_recipe("imdb", [first])
    assert "For the test's sake." in others
    assert "plot       runs/find_lr-x/find_lr.png" in others
    # The rate that was given before is replaced, the other setting is kept.
    assert "  kerasft run imdb training.epochs=1 training.learning_rate=3.2e-5" in others
    assert "  tensorboard --logdir runs" in others
    assert "chatter" not in result.out
    assert "chatter" in result.err


def test_without_a_suggestion_none_is_printed_and_it_is_no_error(command, search):
    search.rate = None
    result = command("find-lr", "imdb")
    assert result.code == 0
    assert result.out.startswith("No learning rate is suggested.\nFor the test's sake.\n")
    assert "learning_rate=" not in result.out
    assert "kerasft run" not in result.out
    found = json.loads(command("find-lr", "imdb", "--json").out)
    assert (found["learning_rate"], found["settings"]) == (None, {})


def test_with_json_stdout_is_exactly_one_object(command, search):
    result = command("find-lr", "imdb_quick", "--json")
    found = json.loads(result.out)
    assert result.out.count("\n") == 1
    assert found["settings"] == {"training.learning_rate": 3.2e-5}
    assert (found["recipe"], found["diverged"]) == ("imdb_quick", True)
    assert found["csv"] == "runs/find_lr-x/find_lr.csv"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["imdb_quik"], 'There is no such recipe. Did you mean "imdb_quick"?'),
        (["imdb", "training.epoch=1"], 'Did you mean "epochs"?'),
        (["imdb", "--steps", "5"], "too few steps to see a curve. Received: '--steps 5'"),
        (["imdb", "--lowest", "1"], "These two rates are no range."),
        (["classify"], "names no files to train on"),
        ([], "the following arguments are required: RECIPE"),
        (["imdb", "--steps", "many"], "invalid int value: 'many'"),
        (["imdb", "--lowest", "low"], "invalid float value: 'low'"),
    ],
)
def test_a_mistake_is_2_before_anything_runs(refused, search, argv, message):
    refused(message, "find-lr", *argv)
    assert search.calls == []
