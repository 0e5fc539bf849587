"""Where the examples of a run come from, and how many are left out."""

from __future__ import annotations

import pytest

from kerasft.data.files.source import FileSource
from kerasft.data.sources.source import BuiltinSampleSource
from kerasft.recipe import load_recipe
from kerasft.runs.data.source import evaluation_data, left_out


@pytest.fixture
def files(tmp_path):
    """Makes the recipe and the source of some files, `name=lines`, each below one header."""

    def make(**splits):
        overrides, paths = {}, {}
        for split, (name, lines) in splits.items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(["text,label", *lines, ""]))
            paths[split] = overrides[f"data.{split}"] = [str(path)]
        return load_recipe("classify", overrides), FileSource(**paths)

    return make


USED = ["a film,pos", "a bore,neg", "two films,pos", "two bores,neg"]
LINES = [*USED, ",pos", "no label,", ",neg"]


def test_files_are_named_by_split(files):
    recipe, source = files(train_files=("a.csv", LINES), test_files=("b.csv", LINES))
    assert evaluation_data(recipe, source, ["validation", "test"]) == {
        "validation": "a.csv (held out of train)",
        "test": "b.csv",
    }
    recipe, source = files(train_files=("a.csv", LINES), validation_files=("v.csv", LINES))
    assert evaluation_data(recipe, source, ["validation"]) == {"validation": "v.csv"}


def test_several_files_and_files_of_one_name(files, tmp_path):
    train, test, other = (str(tmp_path / n) for n in ("train/x.csv", "test/x.csv", "y.csv"))
    files(train_files=("y.csv", LINES))
    recipe, source = files(train_files=("train/x.csv", LINES), test_files=("test/x.csv", LINES))
    assert evaluation_data(recipe, source, ["test"]) == {"test": test}
    source = FileSource(train_files=[train], test_files=[other, test])
    assert evaluation_data(recipe, source, ["test"]) == {"test": "y.csv and 1 more"}


def test_splits_of_a_dataset_are_named():
    mnli = {
        "data.dataset": "glue/mnli",
        "data.validation_split": "validation_matched",
        "data.test_splits": ["validation_matched", "validation_mismatched"],
    }
    recipe, source = load_recipe("imdb", mnli), BuiltinSampleSource()
    source.name = "glue/mnli"
    assert evaluation_data(recipe, source, ["test", "test_validation_mismatched"]) == {
        "test": "glue/mnli (validation_matched)",
        "test_validation_mismatched": "glue/mnli (validation_mismatched)",
    }


def test_rows_left_out_are_counted_by_split_and_reason(files):
    recipe, source = files(train_files=("a.csv", LINES), test_files=("b.csv", LINES[:5]))
    report = {
        "train_examples": 2,
        "train_left_out_also_in_test": 2,
        "validation_left_out_by_subset": 0,
        "test_left_out_by_subset": 1,
    }
    assert left_out(recipe, source, report) == {
        "train": {"no text": 2, "no label": 1, "also in test": 2},
        "test": {"no text": 1, "by subset": 1},
    }
    recipe, source = files(
        train_files=("a.csv", USED),
        validation_files=("v.csv", LINES[:6]),
        test_files=("b.csv", USED),
    )
    assert left_out(recipe, source, {}) == {"validation": {"no text": 1, "no label": 1}}
    assert left_out(load_recipe("imdb"), BuiltinSampleSource(), {}) == {}
