"""Settings that cannot stand together: refused when the recipe is read, all of them at once."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe

FILES = {"data.dataset": "files", "data.train_files": ("a.csv",)}
TWO = {**FILES, "data.label_columns": ("a", "b")}
WINDOWS = {"model.truncation": "windows"}
CHANCES = ("deletion", "swap", "word_dropout", "typos", "casing")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({**FILES, "data.data_dir": "d"}, r"give data\.validation_files"),
        ({**FILES, "data.validation_split": "v"}, r"give data\.validation_files"),
        ({"data.train_files": ("a.csv",)}, r'data\.train_files needs data\.dataset="files"'),
        ({"data.group_column": "g"}, r'group_column needs .*that is "imdb_reviews"'),
        ({"data.label_columns": ("a", "b")}, r'label_columns needs .*that is "imdb_reviews"'),
        ({**TWO, "data.label_column": "c"}, r"label_column or .* set, too: keep one"),
        ({**TWO, "data.label_separator": "|"}, r"label_separator is set, too: keep one"),
        ({**TWO, "data.label_kind": "single"}, r'several labels to a text, not "single"'),
        (
            {**FILES, "data.label_columns": ("a",)},
            r"names one column: name it in",
        ),
        ({"data.label_kind": "number"}, r"TFDS knows the kind of imdb_reviews"),
        ({"model.window_stride": 8}, r'window_stride needs model\.truncation="windows"'),
        ({**WINDOWS, "model.window_stride": 255}, r"would skip tokens: at most .* = 254"),
        ({**WINDOWS, "training.sequence_length": 64}, r"same windows as serving"),
        ({**WINDOWS, "training.jit_compile": True}, r"XLA cannot compile"),
        (
            {"data.oversample": True, "training.class_weights": "balanced"},
            r"they would do it twice\. Keep one",
        ),
        ({"augmentation.share": 0.5}, r"augmentation\.share=0\.5 alters nothing: .* are all 0"),
        (
            {"augmentation.swap": 0.1, "training.mode": "features"},
            r'\[augmentation\] with training\.mode="features": .*no epoch could alter it',
        ),
        (
            {"performance.gradient_checkpointing": True, "training.mode": "features"},
            r'gradient_checkpointing with training\.mode="features": no layer .* gradient',
        ),
        (
            {"performance.gradient_checkpointing": True, "freezing.encoder": True},
            r"gradient_checkpointing with freezing\.encoder=true: no layer",
        ),
        (
            {"performance.gradient_checkpointing": True, "training.jit_compile": True},
            r"gradient_checkpointing with training\.jit_compile: it was not shown that XLA",
        ),
        (
            {"performance.attention_chunk": 64, "training.jit_compile": True},
            r"attention_chunk with training\.jit_compile: XLA cannot compile chunks",
        ),
    ],
)
def test_a_conflict_is_refused_with_its_reason(overrides, message):
    with pytest.raises(UserError, match=message):
        load_recipe("imdb", overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {**FILES, "data.label_kind": "number", "data.group_column": "g"},
        {**WINDOWS, "model.window_stride": 254, "training.sequence_length": 256},
        {"data.oversample": True},
        {"training.class_weights": "neg=1, pos=.5"},
        *({"augmentation.share": 0.5, f"augmentation.{chance}": 0.1} for chance in CHANCES),
        {"training.mode": "features"},
        {"performance.gradient_checkpointing": True, "freezing.lowest_layers": 1},
        {"performance.attention_chunk": 0, "training.jit_compile": True},
    ],
)
def test_control_what_fits_is_taken(overrides):
    load_recipe("imdb", overrides)


def test_all_conflicts_are_told_at_once():
    with pytest.raises(UserError, match=r"2 faults(?s:.*)text_column(?s:.*)label_kind") as raised:
        load_recipe("imdb", {"data.text_column": "t", "data.label_kind": "multi"})
    assert str(raised.value).count("\n") == 2


@pytest.mark.parametrize("text", ["pos", "pos=", "pos=-1", "pos=1,", "=1"])
def test_class_weights_that_cannot_be_read(text):
    with pytest.raises(UserError, match=r'class_weights: not a possible value.*"neg=1, pos=2.5"'):
        load_recipe("imdb", {"training.class_weights": text})


@pytest.mark.parametrize(
    ("override", "files"),
    [
        ('data.train_files=["a.csv", "b.csv"]', ("a.csv", "b.csv")),
        ("data.train_files=a.csv", ("a.csv",)),
        ('data.train_files="a b.csv"', ("a b.csv",)),
    ],
)
def test_a_list_of_one_needs_no_brackets(override, files):
    recipe = load_recipe("imdb", ["data.dataset=files", override])
    assert recipe.data.train_files == files


@pytest.mark.parametrize("value", ["3", "[1]", '[" "]'])
def test_a_list_of_other_things_is_refused(value, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(f"[data]\ntest_splits = {value}\n")
    with pytest.raises(UserError, match=r"\[data\] test_splits: .*Expected: a list of texts"):
        load_recipe(path)


def test_a_split_named_twice_is_refused():
    with pytest.raises(UserError, match="a list of texts without repetition"):
        load_recipe("imdb", {"data.test_splits": ("test", "test")})


def test_a_space_may_separate_labels():
    recipe = load_recipe("imdb", {**FILES, "data.label_separator": " "})
    assert recipe.data.label_separator == " "
    with pytest.raises(UserError, match=r"label_separator: .*Expected: text of one sign or more"):
        load_recipe("imdb", {**FILES, "data.label_separator": ""})
