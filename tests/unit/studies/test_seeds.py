"""`--seeds` of every pipeline: what is run, printed, exported, resumed and refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerasft.metrics.spread import spread
from kerasft.pipelines import imdb
from kerasft.run_dir import create_run_dir
from kerasft.run_dir.result import Run
from kerasft.runs import export, train
from kerasft.training.loop.interrupt import Interrupted


class FakeWorkflow:
    """Stands for `train` and `export`: seed 2 is best on validation, seed 1 on the test."""

    def __init__(self):
        self.runs, self.exports, self.interrupt = [], [], None
        self.validation = lambda seed: 0.8 if seed == 2 else 0.5

    def run(self, recipe, *, resume=None, callbacks, runs_folder="runs", **options):
        print("a library's chatter")
        self.runs.append((recipe.name, recipe.training.seed, resume is not None))
        run_dir = resume or create_run_dir(recipe.name, runs_folder)
        run_dir.write_text("recipe.toml", recipe.to_toml())
        if len(self.runs) == self.interrupt:
            raise Interrupted(run_dir.path, 5)
        seed = recipe.training.seed
        accuracy = 0.9 - 0.1 * seed
        metrics = {"test/accuracy": accuracy, "test/accuracy_lower": 0.1}
        metrics |= {"validation/accuracy": self.validation(seed)}
        model = Path("saved_models/imdb/1") if recipe.export.enabled else None
        run = Run(run_dir.path, metrics, model, [], {}, "tiny", "made", ("a", "b"), None)
        run_dir.write_json("metrics.json", run.to_json() | {"task": {"headline": "accuracy"}})
        return run

    def export_run(self, run_dir, callbacks=(), name=None):
        self.exports.append(run_dir.path.name)
        return Path("saved_models/imdb/7")


@pytest.fixture
def fake(monkeypatch):
    made = FakeWorkflow()
    monkeypatch.setattr("gc.collect", lambda: 0)  # a second each, with TensorFlow
    monkeypatch.setattr(train, "run", made.run)
    monkeypatch.setattr(export, "export_run", made.export_run)
    return made


@pytest.fixture
def command(monkeypatch, capsys, fake):
    """Runs the pipeline's command in an empty folder; returns exit code, stdout and stderr."""

    def run(*argv):
        monkeypatch.setattr(sys, "argv", ["imdb", *argv])
        code = imdb.main()
        out, err = capsys.readouterr()
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def only_series():
    (folder,) = Path("runs").glob("imdb_seeds-*")
    return folder


def test_each_seed_is_run_and_the_best_on_validation_is_exported(command, fake):
    result = command("--seeds", "3")
    assert result.code == 0
    assert fake.runs == [("imdb", seed, False) for seed in (1, 2, 3)]
    assert len(fake.exports) == 1
    row = next(line for line in result.out.splitlines() if "test/accuracy" in line)
    assert row.split() == ["test/accuracy", "0.7000", "0.1000", "0.8000", "0.7000", "0.6000"]
    assert "accuracy_lower" not in result.out  # a bound of one run, of which no mean is taken
    assert "model      saved_models/imdb/7" in result.out
    assert "imdb: seed 2 is the best on validation." in result.err
    assert "chatter" not in result.out


def test_with_json_stdout_is_one_object(command):
    printed = json.loads(command("--seeds", "2", "--json").out)
    assert printed["metrics"]["test/accuracy"] == pytest.approx(0.75)
    assert printed["metrics"]["test/accuracy_std"] == pytest.approx(0.0707, abs=1e-4)
    assert (printed["best_seed"], printed["seeds"]) == (2, [1, 2])
    assert printed["saved_model"] == "saved_models/imdb/7"
    assert [Path(path).parent for path in printed["run_dirs"]] == [only_series()] * 2


def test_where_the_metric_is_undefined_no_seed_is_said_to_be_the_best(command, fake):
    fake.validation = lambda seed: None
    result = command("--seeds", "2")
    told = "imdb: validation/accuracy is undefined for every seed, so none is the best"
    assert told in result.err
    assert "is the best on validation." not in result.err
    printed = json.loads(command("--resume", str(only_series()), "--json").out)
    assert printed["best_seed"] is None
    assert len(fake.exports) == 1


def test_an_undefined_figure_is_shown_as_such(command, fake, monkeypatch):
    monkeypatch.setattr("kerasft.studies.seeds.spreads", lambda runs: {"a": spread([None])})
    row = next(line for line in command("--seeds", "1").out.splitlines() if "undefined" in line)
    assert row.split() == ["a", "undefined"]  # the mean; a seed's own cell is empty


def test_an_export_that_is_off_stays_off(command, fake):
    assert "model " not in command("--seeds", "2", "export.enabled=false").out
    assert fake.exports == []


@pytest.mark.parametrize("named", [True, False])
def test_what_was_interrupted_says_how_to_go_on_and_does(command, fake, named):
    fake.interrupt = 2
    result = command("--seeds", "3")
    assert result.code == 130
    folder = only_series()
    assert f"python -m kerasft.pipelines.imdb --resume {folder}\n" in result.err
    fake.interrupt = None
    again = command("--resume", str(folder)) if named else command("--seeds", "3", "--resume")
    assert again.code == 0
    assert fake.runs[2:] == [("imdb", 2, True), ("imdb", 3, False)]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--seeds", "0"], "--seeds is how many there are. Received: 0. Expected: 1 or more."),
        (["--seeds", "2", "training.seed=4"], "and training.seed is given, too."),
        (["--seeds", "2", "--resume"], "There is nothing to resume"),
        (["--seeds", "2", "--resume", "runs"], "The folder is not that of several runs."),
        (["--seeds", "2", "training.epoch=1"], 'Did you mean "epochs"?'),
        (["--resume", "training.seed=1", "--seeds", "2"], "no setting can be changed"),
    ],
)
def test_a_mistake_is_2_before_anything_runs(argv, message, command, fake):
    result = command(*argv)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert fake.runs == []
    assert not Path("runs").exists()


def test_a_series_is_not_resumed_as_another(command, fake):
    command("--seeds", "2")
    result = command("--seeds", "3", "--resume", str(only_series()))
    assert result.code == 2
    assert "are others than those named." in result.err
    result = command("--recipe", "imdb_quick", "--resume", str(only_series()))
    assert result.code == 2
    assert "Received: 'imdb_quick; --seeds None'." in result.err
    assert len(fake.runs) == 2
