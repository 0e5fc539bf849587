"""The `[tuning]` section: what it may say, what it is refused for, and how it is written back."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasft.errors import UserError
from kerasft.recipe import load_recipe, space_to_toml
from kerasft.recipe.space import Dimension, read_space


@pytest.fixture
def load(tmp_path):
    """Loads a recipe whose `[tuning]` has these lines."""

    def load(lines: str):
        path = tmp_path / "mine.toml"
        path.write_text(f"[tuning]\n{lines}\n")
        return load_recipe(path)

    return load


def test_a_space_holds_choices_ranges_and_logarithms_parents_first(load):
    space = load(
        """
        "adapter.rank" = {choices = [4, 8], when = {"adapter.method" = ["lora"]}}
        training.learning_rate = {log = [1e-5, 1]}
        "adapter.method" = {choices = ["none", "lora"]}
        "training.epochs" = {range = [2, 4], step = 1}
        """
    ).tuning
    assert space == (
        Dimension("training.learning_rate", "log", (1e-5, 1.0)),
        Dimension("adapter.method", "choices", ("none", "lora")),
        Dimension("training.epochs", "range", (2.0, 4.0), 1),
        Dimension("adapter.rank", "choices", (4, 8), None, (("adapter.method", ("lora",)),)),
    )


@pytest.mark.parametrize(
    ("spec", "name", "expected"),
    [
        ("{range = [0.1, 0.5], step = 0.1}", "model.dropout", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("{range = [0.1, 0.45], step = 0.1}", "model.dropout", (0.1, 0.2, 0.3, 0.4)),
        ("{log = [8, 64], step = 2}", "training.batch_size", (8, 16, 32, 64)),
        ("{log = [1e-6, 1e-3], step = 10}", "training.learning_rate", (1e-6, 1e-5, 1e-4, 1e-3)),
        ("{choices = [32, 16]}", "training.batch_size", (32, 16)),
        ('{choices = [["query"], ["key"]]}', "adapter.matrices", (("query",), ("key",))),
        ("{range = [16, 32]}", "training.batch_size", None),
    ],
)
def test_values_that_can_be_counted(load, spec, name, expected):
    choices = load(f'"{name}" = {spec}').tuning[0].choices
    assert choices == expected
    assert choices is None or {type(choice) for choice in choices} == {type(expected[0])}


FAULTS = [
    ("training.learning_rat = {log = [1e-5, 1e-4]}", r'unknown key.* Did you mean "learning_rate"'),
    ("learning_rate = {log = [1e-5, 1e-4]}", r'"learning_rate" belongs in \[training\]'),
    ('"nothing.at_all" = {choices = [1, 2]}', r"unknown section"),
    ('"training.epochs" = 3', r"not a range of values\. Received: 3\. Expected: {choices"),
    ('"training.epochs" = {}', r"not a range of values\. Received: {}"),
    ('"training.epochs" = {choices = [1, 2], range = [1, 2]}', r"not a range of values.* one of"),
    ('"training.epochs" = {choice = [1, 2]}', r"unknown key.*'choice'.*mean \"choices\""),
    ('"training.epochs" = {choices = []}', r"an empty range\. Received: \[\]"),
    ('"training.epochs" = {choices = [2]}', r"two or more different values"),
    ('"training.epochs" = {choices = [2, 2]}', r"two or more different values"),
    ('"training.epochs" = {choices = 2}', r"two or more different values"),
    ('"training.epochs" = {range = [4, 2]}', r"an empty range.*a lower bound below"),
    ('"training.epochs" = {range = [4, 4]}', r"an empty range"),
    ('"training.epochs" = {range = [1, 2, 3]}', r"not a range.*range = \[low, high\]"),
    ('"training.epochs" = {range = [0, 2]}', r"out of range\. Received: 0\. .*above 0"),
    ('"training.epochs" = {range = [1, nan]}', r"out of range\. Received: nan"),
    ('"training.epochs" = {range = ["1", "2"]}', r"wrong type\. Received: '1'"),
    ('"model.dropout" = {log = [0, 0.5]}', r"there is no logarithm of 0"),
    ('"training.batch_size" = {choices = [16, 32.5]}', r"wrong type\. Received: 32\.5.*whole"),
    ('"training.batch_size" = {range = [16, 32], step = 0.5}', r"not a step.*a whole number"),
    ('"training.batch_size" = {range = [16, 32], step = 0}', r"not a step.*above 0"),
    ('"training.batch_size" = {range = [16, 32], step = 32}', r"leads to a second value"),
    ('"training.batch_size" = {log = [16, 32], step = 1}', r"a factor above 1"),
    ('"training.batch_size" = {choices = [16, 32], step = 2}', r"step is for range and log"),
    ('"model.pooling" = {range = [1, 2]}', r"range is for numbers.*choices = \[\.\.\.\], each one"),
    ('"model.pooling" = {choices = ["mean", "clss"]}', r"not a possible value\. Received: 'clss'"),
    ('"training.seed" = {choices = [1, 2]}', r"cannot be searched: the best seed is luck"),
    ('"training.monitor" = {choices = ["a", "b"]}', r"measured by different metrics"),
    ('"data.train_examples" = {choices = [10, 20]}', r"compared on other examples"),
    ('"evaluation.batch_size" = {choices = [8, 16]}', r"it changes nothing of what is learnt"),
    (
        '"training.epochs" = {choices = [1, 2]}\n"training.steps" = {choices = [10, 20]}',
        r"one duration searched twice",
    ),
    ('"adapter.rank" = {choices = [4, 8], when = "lora"}', r"when: not a condition"),
    (
        '"adapter.rank" = {choices = [4, 8], when = {"adapter.method" = ["lora"]}}',
        r"when: no such choice.*there is none",
    ),
    (
        '"adapter.method" = {choices = ["none", "lora"]}\n'
        '"adapter.rank" = {choices = [4, 8], when = {"adapter.method" = ["laura"]}}',
        r"not among its choices\. Received: 'laura'\. Expected: one of none, lora",
    ),
    (
        '"model.pooling" = {choices = ["mean", "cls"], when = {"adapter.method" = ["lora"]}}\n'
        '"adapter.method" = {choices = ["none", "lora"], when = {"model.pooling" = ["cls"]}}',
        r"when: a circle",
    ),
]


@pytest.mark.parametrize(("lines", "message"), FAULTS)
def test_a_space_that_cannot_be_searched_is_refused(load, lines, message):
    with pytest.raises(UserError, match=message):
        load(lines)


def test_all_faults_are_told_at_once(load):
    with pytest.raises(UserError, match=r"2 faults\.(.|\n)*dropout(.|\n)*batch_size"):
        load('"model.dropout" = {choices = []}\n"training.batch_size" = {choices = [0, 1]}')


def test_a_section_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("tuning = 3\n")
    with pytest.raises(UserError, match=r"\[tuning\]: not a table"):
        load_recipe(path)


def test_an_override_does_not_reach_into_the_space():
    with pytest.raises(UserError, match=r"unknown section\. Received: 'tuning'"):
        load_recipe("imdb_sample", ["tuning.learning_rate=1"])


numbers = st.floats(1e-6, 0.9, allow_subnormal=False)


@st.composite
def spaces(draw):
    low, high = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    rate = Dimension("training.learning_rate", draw(st.sampled_from(["log", "range"])), (low, high))
    sizes = draw(st.lists(st.integers(1, 999), min_size=2, max_size=5, unique=True))
    method = Dimension("adapter.method", "choices", ("none", "lora"))
    when = draw(st.sampled_from([(), (("adapter.method", ("lora",)),)]))
    freeze = Dimension("freezing.embeddings", "choices", (True, False), None, when)
    return rate, Dimension("training.batch_size", "choices", tuple(sizes)), method, freeze


@given(spaces())
def test_what_is_written_reads_to_the_same_space(space):
    written = tomllib.loads(space_to_toml(space))["tuning"]
    assert read_space(written, "mine.toml") == (space, [])


def test_the_space_is_shown_and_a_run_does_not_keep_it(load, capsys, tmp_path):
    from kerasft.cli import show

    line = '"training.batch_size" = {choices = [16, 32]}'
    recipe = load(line)
    show.main([str(tmp_path / "mine.toml")])
    assert f"[tuning]\n{line}\n" in capsys.readouterr().out
    assert "tuning" not in recipe.to_toml()
