"""The command-line contract for runs: run, resume, evaluate, export."""

from __future__ import annotations

import json

import pytest

import kerasft
from kerasft import __main__
from kerasft.errors import UserError
from kerasft.export.options import Quantization
from kerasft.export.saved_model import ExportOptions
from kerasft.pipelines import imdb
from kerasft.serving import predictor

# --- run and the pipelines


def test_run_takes_the_recipe_and_its_overrides_in_any_order(command, workflow):
    result = command("run", "imdb_quick", "training.epochs=2", "--json", "training.seed=7")
    assert result.code == 0
    ((recipe, resume),) = workflow.calls
    assert (recipe.name, recipe.training.epochs, recipe.training.seed) == ("imdb_quick", 2.0, 7)
    assert resume is None


def test_a_run_may_lie_in_another_folder(command, workflow):
    command("run", "imdb", "--runs-folder", "elsewhere")
    command("run", "imdb")
    command(main=imdb.main)
    assert workflow.runs_folders == ["elsewhere", "runs", "runs"]


def test_a_pipeline_runs_the_recipe_of_its_name_unless_told(command, workflow):
    command(main=imdb.main)
    command("--recipe", "imdb_sample", "training.steps=4", main=imdb.main)
    names = [recipe.name for recipe, _ in workflow.calls]
    assert names == ["imdb", "imdb_sample"]
    assert workflow.calls[1][0].training.steps == 4


def test_with_json_stdout_is_exactly_one_object(command, workflow):
    result = command("run", "imdb", "--json")
    assert json.loads(result.out) == {"run_dir": "runs/r", "metrics": workflow.metrics}
    assert result.out.count("\n") == 1
    assert "a library's chatter" in result.err


def test_people_get_the_metrics_and_the_next_commands(command, workflow, monkeypatch):
    monkeypatch.setattr("kerasft.console.program", lambda name: name)
    out = command("run", "imdb").out
    assert "chatter" not in out
    assert "0.7000 - 0.8000" in out
    assert "accuracy_lower" not in out
    assert "1,234" in out  # of the confusion matrix
    assert 'kerasft predict saved_models/imdb "' in out
    assert "tensorboard --logdir runs\n" in out
    assert "kerasft predict" not in command("run", "imdb", "export.enabled=false").out


def test_an_unknown_recipe_is_2_with_the_nearest(command, workflow):
    for argv, main in (
        (["run", "imdb_quik"], __main__.main),
        (["--recipe", "imdb_quik"], imdb.main),
    ):
        result = command(*argv, main=main)
        assert (result.code, result.out) == (2, "")
        assert 'There is no such recipe. Did you mean "imdb_quick"?' in result.err
    assert workflow.calls == []


def test_a_misspelt_key_is_2_with_the_nearest(refused, workflow):
    told = "unknown key. Received: 'learning_rat'. Did you mean \"learning_rate\"?"
    refused(told, "run", "imdb", "training.learning_rat=1", "--json")
    assert workflow.calls == []


def test_run_without_a_recipe_asks_which(command):
    for argv in (["run"], ["run", "--resume"]):
        result = command(*argv)
        assert result.code == 2
        assert "Which recipe? Expected: one of " in result.err
        assert " imdb, imdb_base, " in result.err


# --- resuming


def test_resume_goes_on_with_the_latest_run_of_the_recipe(command, workflow, run_of):
    run_of("imdb_quick"), run_of("imdb"), (latest := run_of("imdb"))
    assert command("run", "imdb", "--resume").code == 0
    assert command("--resume", main=imdb.main).code == 0
    for recipe, resume in workflow.calls:
        assert recipe.name == "imdb"
        assert resume.path.resolve() == latest.path


def test_resume_takes_a_run_directory_and_its_own_recipe(command, workflow, run_of):
    run_dir = run_of("imdb_quick")
    folder = str(run_dir.path)
    for argv in (["imdb_quick", "--resume", folder], ["--resume", folder]):
        assert command("run", *argv).code == 0
    assert command("--resume", folder, main=imdb.main).code == 0
    assert [(r.name, resume) for r, resume in workflow.calls] == [("imdb_quick", run_dir)] * 3


def test_resume_with_another_recipe_is_2(command, workflow, run_of):
    folder = str(run_of("imdb_quick").path)
    for result in (
        command("run", "imdb", "--resume", folder),
        command("--recipe", "imdb", "--resume", folder, main=imdb.main),
    ):
        assert result.code == 2
        assert "is of another recipe than the one named. Received: 'imdb'." in result.err
        assert 'Expected: "imdb_quick"' in result.err


SHAPES = {
    "after": "imdb {} --resume",
    "in place of the folder": "imdb --resume {}",
    "with the folder": "imdb --resume {folder} {}",
    "without the recipe's name": "--resume {folder} {}",
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_resume_with_a_longer_length_goes_on(command, workflow, run_of, shape):
    folder = str(run_of("imdb").path)
    argv = shape.format("training.epochs=9", folder=folder).split()
    assert command("run", *argv).code == 0
    (call,) = workflow.calls
    assert call[0].training.epochs == 9


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_resume_with_what_the_weights_come_from_changed_is_2(command, workflow, run_of, shape):
    folder = str(run_of("imdb").path)
    result = command("run", *shape.format("training.seed=4", folder=folder).split())
    assert result.code == 2
    assert "was begun with other settings" in result.err
    assert "Received: 'training.seed: 1 -> 4'." in result.err
    assert workflow.calls == []


def test_resume_of_no_run_is_2(command, workflow):
    assert "This is not a run directory." in command("run", "imdb", "--resume", "no/run").err
    assert "There is no run of this name" in command("run", "imdb", "--resume").err


# --- evaluate and export


def test_evaluate_prints_the_table_or_one_object(command, workflow, run_of):
    folder = str(run_of("imdb").path)
    assert "0.7000 - 0.8000" in command("evaluate", folder).out
    result = command("evaluate", folder, "--json")
    assert json.loads(result.out) == {"run_dir": folder, "metrics": workflow.metrics}
    assert "a library's chatter" in result.err


def test_export_prints_the_new_version_alone_on_stdout(command, workflow, run_of):
    run_dir = run_of("imdb")
    run_dir.write_json("metrics.json", {"has_pairs": False})
    folder = str(run_dir.path)
    assert command("export", folder).out == "saved_models/imdb/4\n"
    result = command("export", folder, "--name", "mine")
    assert result.out == "saved_models/mine/4\n"
    assert 'predict saved_models/mine "A quiet' in result.err
    run_dir.write_json("metrics.json", {"has_pairs": True})
    assert 'predict saved_models/imdb --pair "' in command("export", folder).err


@pytest.mark.parametrize("version", ["9223372036854775808", "-1", "x", "1_0", "7.0", "9" * 5000])
def test_export_refuses_a_version_that_no_server_reads(command, workflow, run_of, version):
    result = command("export", str(run_of("imdb").path), f"--version={version}")
    assert (result.code, workflow.calls) == (2, [])
    assert f"a whole number from 0 to 9223372036854775807, not '{version[:40]}'" in result.err


def test_export_hands_on_what_it_is_told(command, workflow, run_of, tmp_path):
    run_dir = run_of("imdb")
    run_dir.write_json("metrics.json", {"has_pairs": False})
    (tmp_path / "texts").write_text("one text\n")
    options = ["--version", "7", "--signatures", "embed,tokens", "--no-verify"]
    options += ["--quantize", "int8", "--max-loss", "0.5", "--length-buckets", "32,64"]
    options += ["--warmup-texts", str(tmp_path / "texts")]
    assert command("export", str(run_dir.path), *options).code == 0
    found = workflow.calls[-1]
    assert found["options"] == ExportOptions(
        signatures=("embed", "tokens"),
        warmup_texts=(b"one text",),
        verify=False,
        version=7,
        length_buckets=(32, 64),
    )
    assert found["quantization"] == Quantization("int8", 0.5)
    assert command("export", str(run_dir.path)).code == 0
    usual = {"options": ExportOptions(), "quantization": None, "overrides": []}
    assert workflow.calls[-1] == usual
    moved = "data.train_files=new/place.csv"
    assert command("export", str(run_dir.path), moved).code == 0
    assert workflow.calls[-1] == {**usual, "overrides": [moved]}
    for method in ("float16", "bfloat16"):
        command("export", str(run_dir.path), "--quantize", method)
        assert workflow.calls[-1]["quantization"] == Quantization(method)
    loss = f"validation ({Quantization.max_loss})"  # the help tells what is left out
    assert loss in " ".join(command("export", "--help").out.split())
    wrong_ones = ("--version -1", "--quantize int4", "--version new", "--length-buckets 32,long")
    for option, wrong in map(str.split, wrong_ones):
        result = command("export", str(run_dir.path), option, wrong)
        assert result.code == 2
        assert option in result.err


def test_export_under_a_name_that_is_no_folders_name_is_2(command, workflow, run_of):
    result = command("export", str(run_of("imdb").path), "--name", "../mine")
    assert result.code == 2
    assert "--name is not usable. Received: '../mine'. Expected: a folder's name" in result.err


@pytest.mark.parametrize("name", ["evaluate", "export"])
def test_what_is_no_run_directory_is_2(refused, name):
    refused("This is not a run directory.", name, "runs/none")


# --- from Python


def test_from_python_a_run_is_what_the_command_runs(workflow, monkeypatch):
    result = kerasft.run("imdb_quick", {"training.epochs": 1})
    ((recipe, resume),) = workflow.calls
    assert (recipe.name, recipe.training.epochs, resume) == ("imdb_quick", 1.0, None)
    assert result.metrics["test/accuracy"] == 0.75
    monkeypatch.setattr(predictor, "load_predictor", lambda path: f"a predictor of {path}")
    assert kerasft.load(result.saved_model) == "a predictor of saved_models/imdb/3"


def test_from_python_a_model_is_built(workflow):
    assert kerasft.build("imdb", ["training.seed=3"]) == "a model for imdb, seed 3"


@pytest.mark.parametrize("function", [kerasft.run, kerasft.build])
def test_from_python_a_mistake_is_a_user_error(function, workflow):
    with pytest.raises(UserError, match=r'unknown key\. .* Did you mean "epochs"'):
        function("imdb", {"training.epoch": 1})
