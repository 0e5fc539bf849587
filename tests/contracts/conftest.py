"""What the tests of the command line share: a way to call it, and a workflow that only notes it."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerasft import __main__, runs
from kerasft.recipe import load_recipe
from kerasft.run_dir import create_run_dir


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs `kerasft ...` in an empty folder; returns exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str, main=__main__.main) -> SimpleNamespace:
        monkeypatch.setattr(sys, "argv", ["kerasft", *argv])
        code = main()
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


@pytest.fixture
def refused(command):
    """Runs `kerasft ...`, which must refuse in these words, before anything is written."""

    def run(message: str, *argv: str) -> None:
        result = command(*argv)
        assert (result.code, result.out) == (2, "")
        assert message in result.err
        assert not Path("runs").exists()

    return run


class FakeWorkflow:
    """Stands for `train`, `evaluate` and `export` of `kerasft.runs`: remembers its calls."""

    metrics = {"test/accuracy": 0.75, "test/accuracy_lower": 0.7, "test/accuracy_upper": 0.8} | {
        f"test/{metric}/{label}": 0.5 for metric in ("precision", "recall", "f1") for label in "ab"
    }

    def __init__(self):
        self.calls = []
        self.runs_folders = []

    def run(self, recipe, *, resume=None, callbacks, runs_folder="runs", **options):
        print("a library's chatter")
        self.calls.append((recipe, resume))
        self.runs_folders.append(runs_folder)
        result = {"run_dir": "runs/r", "metrics": self.metrics}
        return SimpleNamespace(
            path=Path("runs/r"),
            metrics=self.metrics,
            saved_model=Path("saved_models/imdb/3") if recipe.export.enabled else None,
            data="imdb_reviews",
            preset=recipe.model.preset,
            label_names=("a", "b"),
            confusion=[[30, 10], [10, 1234]],
            has_pairs=False,
            notes=[],
            evaluation_data={"test": "imdb_reviews (test)"},
            to_json=lambda: result,
        )

    def evaluate_run(self, run_dir, callbacks, overrides):
        print("a library's chatter")
        return self.metrics

    def build(self, recipe, callbacks):
        return f"a model for {recipe.name}, seed {recipe.training.seed}"

    def export_run(self, run_dir, callbacks, name, **options):
        print("a library's chatter")
        self.calls.append(options)
        return Path("saved_models") / (name or "imdb") / "4"


@pytest.fixture
def workflow(monkeypatch):
    fake = FakeWorkflow()
    for name in ("train", "evaluate", "export"):
        monkeypatch.setitem(sys.modules, f"kerasft.runs.{name}", fake)
        monkeypatch.setattr(runs, name, fake, raising=False)
    return fake


@pytest.fixture
def run_of(tmp_path):
    """Makes a run directory of a recipe, as an interrupted run leaves it."""

    def make(name: str):
        run_dir = create_run_dir(name, tmp_path / "runs")
        run_dir.write_text("recipe.toml", load_recipe(name).to_toml())
        return run_dir

    return make
