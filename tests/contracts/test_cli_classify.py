"""The command line of `python -m kerasft.pipelines.classify`."""

from __future__ import annotations

import pytest

import kerasft
from kerasft.errors import UserError
from kerasft.pipelines import classify
from kerasft.recipe import load_recipe
from kerasft.run_dir import create_run_dir

FILES = ["--train", "a.csv", "b.csv"]


def test_every_option_is_a_field_of_the_recipe(command, workflow):
    argv = [*FILES, "--validation", "v.csv", "--test", "t.csv", "--text", "body"]
    argv += ["--label", "stars", "--text-pair", "title", "--group", "author", "--format", "csv"]
    argv += ["--label-kind", "multi", "--label-separator", ";", "--delimiter", r"\t"]
    argv += ["--name", "mine"]
    argv += ["training.epochs=2", "--json"]
    assert command(*argv, main=classify.main).code == 0
    ((recipe, resume),) = workflow.calls
    data = recipe.data
    assert (recipe.name, resume, data.dataset) == ("classify", None, "files")
    assert data.train_files == ("a.csv", "b.csv")
    assert (data.validation_files, data.test_files) == (("v.csv",), ("t.csv",))
    assert (data.text_column, data.text_pair_column) == ("body", "title")
    assert (data.label_column, data.group_column) == ("stars", "author")
    assert data.delimiter == r"\t"
    assert (data.format, data.label_kind, data.label_separator) == ("csv", "multi", ";")
    assert (recipe.export.name, recipe.training.epochs) == ("mine", 2.0)


def test_options_and_overrides_make_the_same_recipe(command, workflow):
    command("--train", "a.csv", "--text", "body", "--json", main=classify.main)
    overrides = ['data.train_files=["a.csv"]', "data.text_column=body"]
    assert workflow.calls[0][0] == load_recipe("classify", overrides)


def test_a_dataset_of_tfds_may_stand_in_its_place(command, workflow):
    assert command("--train", "glue/sst2", "--json", main=classify.main).code == 0
    assert workflow.calls[0][0].data.dataset == "glue/sst2"
    assert workflow.calls[0][0].data.train_files == ()


@pytest.mark.parametrize("argv", [["run", "classify"], None])
def test_without_files_it_says_what_to_type(command, workflow, argv):
    result = command(*argv) if argv else command(main=classify.main)
    assert (result.code, result.out) == (2, "")
    assert "The recipe classify names no files to train on." in result.err
    assert "python -m kerasft.pipelines.classify --train reviews.csv --text body" in result.err
    assert workflow.calls == []


def test_a_recipe_of_ones_own_may_name_the_files(command, workflow, tmp_path):
    (tmp_path / "mine.toml").write_text('[data]\ndataset = "files"\ntrain_files = ["r.csv"]\n')
    assert command("--recipe", "mine.toml", "--json", main=classify.main).code == 0
    assert workflow.calls[0][0].data.train_files == ("r.csv",)


def test_a_run_is_resumed_without_naming_its_files_again(command, workflow, tmp_path):
    run_dir = create_run_dir("classify", tmp_path / "runs")
    recipe = load_recipe("classify", ["data.train_files=a.csv"])
    run_dir.write_text("recipe.toml", recipe.to_toml())
    assert command("--resume", "--json", main=classify.main).code == 0
    ((resumed, resume),) = workflow.calls
    assert resumed.data.train_files == ("a.csv",)
    assert resume.path.resolve() == run_dir.path
    # The data may lie elsewhere: the workflow compares its content.
    assert command("--resume", "--train", "b.csv", "--json", main=classify.main).code == 0
    assert workflow.calls[1][0].data.train_files == ("b.csv",)
    refused = command("--resume", "--text", "body", main=classify.main)
    assert refused.code == 2
    assert "data.text_column: None -> 'body'" in refused.err


def test_several_label_columns_are_one_for_each_label(command, workflow):
    columns = ("toxic", "insult", "threat")
    argv = ["--train", "a.csv", "--label", *columns, "training.epochs=2", "--json"]
    assert command(*argv, main=classify.main).code == 0
    ((recipe, _),) = workflow.calls
    assert (recipe.data.label_column, recipe.data.label_columns) == (None, columns)
    assert recipe.training.epochs == 2
    one = command(*argv[:4], "data.label_kind=single", "--label", "b", main=classify.main)
    assert one.code == 2
    assert 'data.label_columns hold several labels to a text, not "single"' in one.err


def test_a_mistake_is_2_and_told_like_that_of_an_override(command, workflow):
    result = command(*FILES, "--format", "cvs", main=classify.main)
    assert result.code == 2
    assert "[data] format: not a possible value. Received: 'cvs'." in result.err
    assert 'Did you mean "csv"?' in result.err
    both = command(*FILES, "data.train_files=c.csv", main=classify.main)
    assert "--train stands for data.train_files, and both are given." in both.err
    assert workflow.calls == []


def test_from_python_the_files_are_missed_too():
    with pytest.raises(UserError, match=r"The recipe classify names no files.*data\.train_files"):
        kerasft.build("classify", {"model.preset": "tiny_random"})
