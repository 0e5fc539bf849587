"""Options that stand for recipe fields: what they become, and what they refuse."""

from __future__ import annotations

import argparse

import pytest

from kerasft.cli.shorthands import Shorthand, add_shorthands, expand_shorthands
from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.runs.arguments import add_run_arguments

SHORTHANDS = (
    Shorthand("--train", "data.train_files", "what to train on", many=True),
    Shorthand("--text-pair", "data.text_pair_column", "column of a second text"),
    Shorthand("--name", "export.name", "name of the model"),
)


@pytest.fixture
def expand():
    """From a command line to the overrides it comes to."""

    def expand(*argv, shorthands=SHORTHANDS):
        parser = argparse.ArgumentParser()
        add_run_arguments(parser)
        add_shorthands(parser, shorthands)
        return expand_shorthands(parser.parse_intermixed_args(argv), shorthands)

    return expand


def test_an_option_is_what_the_override_of_its_field_is(expand):
    assert expand("--train", "a.csv") == ['data.train_files=["a.csv"]']
    assert expand("--text-pair", "b", "training.epochs=1") == [
        "training.epochs=1",
        'data.text_pair_column="b"',
    ]
    assert expand("training.epochs=1") == ["training.epochs=1"]
    assert expand() == []


@pytest.mark.parametrize(
    "argv", [("--train", "a.csv", "b.csv"), ("--train", "a.csv", "--name", "m", "--train", "b.csv")]
)
def test_several_values_are_one_list(expand, argv):
    """Given twice, an option must not forget what it was given first."""
    assert 'data.train_files=["a.csv", "b.csv"]' in expand(*argv)


def test_overrides_behind_an_option_of_several_values_are_overrides(expand):
    assert expand("--train", "a.csv", "training.epochs=1", "b=c.csv") == [
        "training.epochs=1",
        'data.train_files=["a.csv", "b=c.csv"]',
    ]
    assert expand("--name", "training.epochs=1") == ['export.name="training.epochs=1"']


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\x7fb", "ä 😀", "[x]", "3", "true", "a\tb"])
def test_every_text_arrives_as_it_is(expand, name):
    overrides = expand("--text-pair", name, "--train", name)
    recipe = load_recipe("classify", overrides)
    assert recipe.data.text_pair_column == name
    assert recipe.data.train_files == (name,)


def test_an_option_and_the_override_of_its_field_are_an_error(expand):
    expected = (
        r"--train stands for data\.train_files, and both are given\. Received: "
        r"'--train a\.csv, and data\.train_files=b\.csv'.*leave data\.train_files=b\.csv out"
    )
    with pytest.raises(UserError, match=expected):
        expand("--train", "a.csv", "data.train_files=b.csv")
    with pytest.raises(UserError, match=r"--name stands for export\.name"):
        expand("export.name = x", "--name", "y")
    expand("data.test_files=b.csv", "--train", "a.csv")  # control: of another field


def test_an_option_without_a_value_of_its_own_is_an_error(expand):
    expected = r"--train has no value\. Received: '--train training\.epochs=1'\. Expected: what to"
    with pytest.raises(UserError, match=expected):
        expand("--train", "training.epochs=1")


def test_one_value_given_twice_is_told_with_the_recipes_faults(expand):
    overrides = expand("--name", "a", "--name", "b")
    with pytest.raises(UserError, match=r"given twice.*Expected: export\.name once"):
        load_recipe("classify", overrides)


def test_the_values_may_choose_the_field(expand):
    def choose(values):
        return "data.dataset" if values == ["glue/sst2"] else "data.train_files"

    shorthands = [SHORTHANDS[0]._replace(choose_field=choose)]
    assert expand("--train", "glue/sst2", shorthands=shorthands) == ['data.dataset="glue/sst2"']
    assert expand("--train", "a", shorthands=shorthands) == ['data.train_files=["a"]']
    with pytest.raises(UserError, match=r"--train stands for data\.dataset, and both"):
        expand("--train", "glue/sst2", "data.dataset=imdb_reviews", shorthands=shorthands)
