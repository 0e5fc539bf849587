"""A run's data changes between two commands: noticed in resuming, evaluating, exporting, series."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs import train
from kerasft.runs.data.record import read_data_record
from kerasft.runs.evaluate import evaluate_run
from kerasft.runs.resume import change_recipe
from kerasft.training.callbacks.callback import Callback
from kerasft.training.checkpoints.checkpoint import BEST, latest_step, read_checkpoint

SETTINGS = {
    "model.preset": "tiny_random",
    "model.sequence_length": 16,
    "training.batch_size": 8,
    "training.steps": 4,
    "training.checkpoint_every_steps": 2,
    "training.dtype_policy": "float32",
    "training.early_stopping_patience": 0,
    "evaluation.bootstrap_resamples": 10,
    "export.enabled": False,
    "logging.plots": False,
}
RESUME = "say where it lies now"


class StopAt(Callback):
    """Breaks off after a step, as a kill would."""

    def __init__(self, step):
        self.step = step

    def on_step(self, result, stats):
        if result.step == self.step:
            raise RuntimeError("broken off")


def table(count, first=0, names=("neg", "pos")):
    words = ("a dull and sour film", "a warm and lovely film")
    rows = (f"{words[i % 2]} number {i},{names[i % 2]}\n" for i in range(first, first + count))
    return "text,label\n" + "".join(rows)


def write_files(folder):
    (folder / "train.csv").write_text(table(40))
    (folder / "test.csv").write_text(table(12, first=100))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    return tmp_path


def recipe_of(**more):
    files = {"data.train_files": ["train.csv"], "data.test_files": ["test.csv"]}
    return load_recipe("classify", {**SETTINGS, **files, **more})


def years():
    """A recipe of numbers, whose file it writes."""
    rows = "".join(f"{'so very ' * (i % 7)}film {i},{1950 + 10 * (i % 7)}\n" for i in range(40))
    Path("train.csv").write_text("text,label\n" + rows)
    return recipe_of(**{"data.test_files": (), "data.label_kind": "number"})


def break_off():
    with pytest.raises(RuntimeError, match="broken off"):
        train.run(recipe_of(), callbacks=[StopAt(3)])


MAKE = {
    "interrupted": break_off,
    "finished": lambda: train.run(recipe_of()),
    "years": lambda: train.run(years()),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Makes a folder with a run, once; nobody changes it."""

    @functools.cache
    def make(kind):
        folder = tmp_path_factory.mktemp(kind)
        write_files(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setenv("KERASFT_CACHE", str(folder / "cache"))
            MAKE[kind]()
        return folder

    return make


@pytest.fixture
def copy_run(made, place):
    """Copies a run of `MAKE` and its files into the test's folder."""

    def copy(kind):
        shutil.copytree(made(kind), place, dirs_exist_ok=True)
        (folder,) = (place / "runs").iterdir()
        return RunDir(folder)

    return copy


@pytest.fixture
def interrupted(copy_run):
    """A run that was broken off after step 3, with a checkpoint of step 2."""
    return copy_run("interrupted")


@pytest.fixture
def finished(copy_run):
    return copy_run("finished")


def resume(run_dir, *overrides):
    return train.run(change_recipe(run_dir, overrides), resume=run_dir)


def weights_of(path):
    return read_checkpoint(path / "checkpoints" / BEST)[1]


CHANGES = [
    (table(41), "train: 41 examples, 40 before"),
    (table(39), "train: 39 examples, 40 before"),
    (table(40, names=("pos", "neg")), "train: other labels"),
    (table(40, names=("neg", "awesome")), "the labels without pos; the labels with awesome"),
    (table(40).replace("number 7", "number seven"), "train: other texts"),
]


class TestResuming:
    @pytest.mark.parametrize(("changed", "told"), CHANGES)
    def test_other_data_is_refused(self, place, interrupted, changed, told):
        (place / "train.csv").write_text(changed)
        test = (place / "test.csv").read_text()
        if "awesome" in changed:
            (place / "test.csv").write_text(test.replace(",pos", ",awesome"))
        with pytest.raises(UserError, match=f"not the data that .* began with.*{told}.*{RESUME}"):
            resume(interrupted)
        assert latest_step(interrupted.checkpoints_folder) == 2

    def test_another_test_is_refused(self, place, interrupted):
        (place / "test.csv").write_text(table(10, first=100))
        with pytest.raises(UserError, match="test: 10 examples, 12 before"):
            resume(interrupted)

    def test_the_same_bytes_elsewhere_are_the_same_data(self, place, interrupted, made):
        (undisturbed,) = map(weights_of, made("finished").glob("runs/*"))
        (place / "moved").mkdir()
        (place / "train.csv").rename(place / "moved" / "renamed.csv")
        with pytest.raises(UserError, match=f"no such file.*looked for in {place}"):
            resume(interrupted)
        ours = weights_of(resume(interrupted, 'data.train_files=["moved/renamed.csv"]').path)
        assert ours.keys() == undisturbed.keys()
        assert all(np.array_equal(ours[name], undisturbed[name]) for name in undisturbed)

    def test_control_the_comparison_of_weights_tells_runs_apart(self, finished):
        first = weights_of(finished.path)
        other = weights_of(train.run(recipe_of(**{"training.seed": 2})).path)
        assert any(not np.array_equal(first[name], other[name]) for name in first)

    def test_a_run_of_an_earlier_version_goes_on_where_its_data_was(self, place, interrupted):
        (interrupted.path / "data.json").unlink()
        (place / "moved.csv").write_text(table(40))
        with pytest.raises(UserError, match="earlier version, which kept no description"):
            resume(interrupted, "data.train_files=moved.csv")
        assert resume(interrupted).metrics
        assert read_data_record(interrupted)["splits"]["train"]["examples"] == 40

    @pytest.mark.parametrize("near_copies", [0, 2])
    def test_a_run_of_an_earlier_version_has_the_same_splits(self, place, near_copies):
        rows = table(40).splitlines()
        copies = [row.upper().replace(",NEG", ",neg").replace(" ", "  ") for row in rows[1:5:2]]
        Path("train.csv").write_text("\n".join(rows + copies[:near_copies]) + "\n")
        break_off()
        (run,) = map(RunDir, (place / "runs").iterdir())
        record = run.read_json("data.json")
        assert record.pop("near_copies") == near_copies
        run.write_json("data.json", record)
        if not near_copies:
            assert resume(run).metrics
            return
        with pytest.raises(UserError, match=r"earlier version, which held out .*2 texts that"):
            resume(run)
        (run.path / "data.json").unlink()
        with pytest.raises(UserError, match="earlier version, which held out other"):
            resume(run)


class TestAFinishedRun:
    def test_is_evaluated_on_its_own_test_alone(self, place, finished):
        kept = (finished.path / "predictions-test.npz").read_bytes()
        (place / "test.csv").write_text(table(10, first=100))
        with pytest.raises(UserError, match=r"test: 10 examples, 12 before.*train a new run"):
            evaluate_run(finished)
        assert (finished.path / "predictions-test.npz").read_bytes() == kept

    def test_is_evaluated_on_data_that_was_moved(self, place, finished):
        before = evaluate_run(finished)
        for name in ("train.csv", "test.csv"):
            (place / name).rename(place / f"moved-{name}")
        moved = ["data.train_files=moved-train.csv", "data.test_files=moved-test.csv"]
        with pytest.raises(UserError, match="no such file"):
            evaluate_run(finished)
        assert evaluate_run(finished, overrides=moved) == before
        with pytest.raises(UserError, match="begun with other settings"):
            evaluate_run(finished, overrides=["training.learning_rate=1e-5"])

    def test_is_evaluated_when_train_alone_has_grown(self, place, finished):
        (place / "train.csv").write_text(table(48))
        assert evaluate_run(finished)["test/accuracy"] >= 0
        with pytest.raises(UserError, match="train: 48 examples, 40 before"):
            evaluate_run(finished, split="validation")


def test_a_run_of_a_series_reads_the_data_of_the_first(place, finished):
    again = recipe_of(**{"training.seed": 2, "model.sequence_length": 32, "training.steps": 1})
    assert train.run(again, same_data_as=finished).metrics
    (place / "train.csv").write_text(table(48))
    with pytest.raises(UserError, match=r"train: 48 examples, 40 before.*cannot be compared"):
        train.run(again, same_data_as=finished)


class TestNumbers:
    def test_what_the_weights_were_trained_with_is_kept_by_the_checkpoint(self, copy_run):
        run = copy_run("years")
        before = run.read_json("metrics.json")["task"]
        assert before["target_mean"] == pytest.approx(1980, abs=5)
        assert before["target_scale"] == pytest.approx(20, abs=2)
        (run.path / "data.json").unlink()
        resume(run, "training.steps=6")
        assert run.read_json("metrics.json")["task"] == before

    def test_a_checkpoint_of_an_earlier_version_goes_on_unstandardized(self, copy_run):
        run = copy_run("years")
        for path in run.checkpoints_folder.glob("step-*/state.json"):
            state = json.loads(path.read_text())
            del state["target_scaling"]
            path.write_text(json.dumps(state))
        resume(run, "training.steps=6")
        assert run.read_json("metrics.json")["task"]["target_scale"] == 1.0

    @pytest.mark.parametrize("limit", ["model.minimum_value=3000.0", "model.maximum_value=5.0"])
    def test_limits_beyond_the_targets_are_refused(self, place, limit):
        recipe, (name, _, value) = years(), limit.partition("=")
        recipe = dataclasses.replace(
            recipe, model=dataclasses.replace(recipe.model, **{name[6:]: float(value)})
        )
        with pytest.raises(UserError, match=rf"{name} lies beyond all training.*1950 to 2010"):
            train.run(recipe)

    def test_class_weights_are_refused_as_such(self, place):
        recipe = years()
        recipe = dataclasses.replace(
            recipe, training=dataclasses.replace(recipe.training, class_weights="balanced")
        )
        with pytest.raises(UserError, match="Only classes can be balanced, one to a text"):
            train.run(recipe)
