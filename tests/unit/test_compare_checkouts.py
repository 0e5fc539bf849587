"""The script that compares two checkouts, on run folders made by hand."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from safetensors.numpy import save_file


@pytest.fixture(scope="module")
def script(repository):
    path = repository / "tests" / "compare_checkouts.py"
    spec = importlib.util.spec_from_file_location("compare_checkouts", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_run(folder, *, weight=1.0, name="kernel", logit=0.5, accuracy=0.75, loss="0.6"):
    checkpoint = folder / "checkpoints" / "step-00000002"
    checkpoint.mkdir(parents=True)
    weights = np.arange(6, dtype="float32").reshape(2, 3)
    weights[1, 2] = weight
    save_file({name: weights, "steps": np.int64([2])}, checkpoint / "variables.safetensors")
    state = {"step": 2, "evaluations": [{"accuracy": 0.75}], "step_seconds": len(folder.name)}
    (checkpoint / "state.json").write_text(json.dumps(state))
    np.savez(folder / "predictions-test.npz", logits=np.float32([[logit, 1.0]]))
    metrics = {"test/accuracy": accuracy, "test/roc_auc": float("nan")}
    train = {"steps": 2, "seconds": len(folder.name)}
    figures = {"run_dir": folder.name, "metrics": metrics, "train": train, "notes": []}
    (folder / "metrics.json").write_text(json.dumps(figures))
    (folder / "history.csv").write_text(
        f"step,loss,seconds,validation/f1\n1,{loss},{len(folder.name)},\n2,0.5,1,0.25\n"
    )
    return folder


@pytest.fixture
def before(tmp_path):
    return write_run(tmp_path / "before")


def test_runs_that_differ_in_time_and_place_alone_are_equal(script, before, tmp_path):
    after = write_run(tmp_path / "after, later", accuracy=0.75 + 1e-14)
    assert script.find_differences(before, after) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"weight": np.nextafter(np.float32(1), np.float32(2))},  # one bit
            "checkpoints/step-00000002/variables.safetensors: 1 of 2 tensors, such as kernel",
        ),
        ({"name": "weight"}, "checkpoints/step-00000002/variables.safetensors: names of 2 tensors"),
        ({"logit": 0.5000001}, "predictions-test.npz: logits"),
        ({"accuracy": 0.75 + 1e-9}, "metrics.json: metrics.test/accuracy 0.75 and 0.750000001"),
        ({"loss": "0.601"}, "history.csv: [0].loss 0.6 and 0.601"),
        ({"loss": ""}, "history.csv: [0].loss 0.6 and None"),
    ],
)
def test_one_change_is_told(script, before, tmp_path, change, told):
    after = write_run(tmp_path / "after", **change)
    assert script.find_differences(before, after) == [told]


def test_a_file_of_one_run_alone_is_told(script, before, tmp_path):
    after = write_run(tmp_path / "after")
    (after / "predictions-test.npz").rename(after / "predictions-validation.npz")
    assert script.find_differences(before, after) == [
        "predictions-test.npz: in one alone",
        "predictions-validation.npz: in one alone",
    ]


def test_folders_without_a_run_are_not_equal(script, tmp_path):
    differences = script.find_differences(tmp_path, tmp_path)
    assert len(differences) == 5
    assert all(told.endswith("nothing to compare") for told in differences)


# --- the command, with a checkout that only copies what its case holds

FAKE = """
import pathlib, shutil, sys
run = "second" if "training.seed=2" in sys.argv else {run!r}
shutil.copytree(pathlib.Path({folder!r}) / run, "runs/imdb_sample-1")
"""


@pytest.fixture
def compare(script, tmp_path):
    """Compares a checkout that leaves the run `first` with one that leaves another."""
    write_run(tmp_path / "first")
    write_run(tmp_path / "second", weight=2.0)

    def call(run, *arguments):
        folders = []
        for title, left in (("before", "first"), ("after", run)):
            package = tmp_path / title / "kerasft" / "pipelines"
            package.mkdir(parents=True, exist_ok=True)
            for folder in (package, package.parent):
                (folder / "__init__.py").touch()
            (package / "imdb.py").write_text(FAKE.format(run=left, folder=str(tmp_path)))
            folders.append(str(tmp_path / title))
        return script.main([*folders, *arguments])

    return call


@pytest.mark.parametrize(
    ("run", "arguments", "code", "told"),
    [
        ("first", ["--cases", "imdb_sample"], 0, "imdb_sample: equal"),
        ("second", ["--cases", "imdb_sample"], 1, "imdb_sample: differs in checkpoints/"),
        ("absent", ["--cases", "imdb_sample"], 1, "imdb_sample: failed: exit code 1"),
        ("first", ["--cases", "imdb_sample", "--control"], 0, "imdb_sample: differs"),
        ("first", ["--cases", "mrpc,imdb_sample"], 3, "mrpc: skipped, --data-dir has no glue/mrpc"),
    ],
)
def test_exit_codes(compare, capsys, run, arguments, code, told):
    assert compare(run, *arguments) == code
    assert told in capsys.readouterr().out


def test_control_that_finds_nothing_is_a_failure(script, compare, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(script, "run_command", lambda *_, **__: ["-m", "kerasft.pipelines.imdb"])
    assert compare("first", "--cases", "imdb_sample", "--control") == 1
    assert "imdb_sample: equal" in capsys.readouterr().out


def test_an_unknown_case_is_2(compare, capsys):
    with pytest.raises(SystemExit) as raised:
        compare("first", "--cases", "imdb")
    assert raised.value.code == 2
    assert "no case imdb; there are imdb_sample, imdb_quick" in capsys.readouterr().err
