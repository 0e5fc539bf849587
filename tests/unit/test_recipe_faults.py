"""Faults of recipes and overrides: what is told, and how an override is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe

# --- a file of the user's own


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[training]\nepoch = 1",
            r'mine.toml: \[training\] epoch: unknown key.*Did you mean "epochs"',
        ),
        ("[training]\nzzz = 1", r"unknown key. Received: 'zzz'. Expected: one of epochs, steps"),
        ('[training]\npreset = "x"', r'"preset" belongs in \[model\]: model.preset'),
        (
            "[trainin]\nseed = 1",
            r'\[trainin\]: unknown section.*\[tuning\]. Did you mean "training"',
        ),
        ("seed = 1", r'a key without its section.*"seed" belongs in \[training\]'),
        ("data = 3", r"\[data\]: not a table. Received: 3"),
        ("[[data]]\nseed = 1", r"\[data\]: not a table"),
        (
            '[training]\nseed = "one"',
            r"\[training\] seed: wrong type. Received: 'one'. Expected: a whole",
        ),
        ("[training]\nseed = 1.0", r"wrong type. Received: 1.0. Expected: a whole number from 0"),
        ("[training]\nseed = true", r"wrong type. Received: True"),
        ("[training]\nlearning_rate = true", r"wrong type. Received: True. Expected: a number"),
        ("[training]\njit_compile = 1", r"wrong type. Received: 1. Expected: true or false"),
        ("[model]\npreset = 3", r"wrong type. Received: 3. Expected: text"),
        ('[model]\npreset = " "', r"\[model\] preset: not a possible value"),
        (
            "[training]\nlearning_rate = 5",
            r"out of range. Received: 5. Expected: .* above 0, at most 1",
        ),
        ("[training]\nlearning_rate = nan", r"out of range. Received: nan"),
        ("[training]\nepochs = inf", r"out of range. Received: inf"),
        ("[training]\nsteps = 99999999999999999999", r"out of range"),
        ("[data]\nvalidation_fraction = 1", r"Expected: a number above 0 and below 1"),
        ("[model]\nsequence_length = 7", r"Expected: a whole number from 8 to 8192"),
        ('[model]\npooling = "men"', r'Expected: one of "mean", "cls".*Did you mean "mean"'),
        ('[training]\nmonitor = "validation/acuracy"', r'Did you mean "validation/accuracy"'),
        ('[export]\nname = "../x"', r"\[export\] name: .*Expected: a folder's name"),
        ('name = "a/b"', r"name: not a name. Received: 'a/b'"),
        ("summary = 3", r"summary: wrong type. Received: 3"),
        (
            "[training]\nepochs = 1\nsteps = 5",
            r"\[training\] epochs, steps: one duration given twice. "
            r"Received: 'epochs = 1, steps = 5'. Expected: exactly one of epochs, steps, examples",
        ),
        (
            "[training]\nwarmup_steps = 1\nwarmup_fraction = 0.1",
            r"warmup_steps, warmup_fraction: one duration given twice",
        ),
    ],
)
def test_one_fault(write_recipe, text, message):
    with pytest.raises(UserError, match=message) as raised:
        load_recipe(write_recipe(text))
    assert "1 fault." in str(raised.value)


def test_all_faults_are_told_at_once(write_recipe):
    path = write_recipe('[training]\nepoch = 1\nseed = "x"\n[model]\npooling = "men"')
    with pytest.raises(UserError, match="cannot be used: 5 faults") as raised:
        load_recipe(path, ["training.epochs=abc", "bogus"])
    lines = str(raised.value).splitlines()[1:]
    assert len(lines) == 5
    assert sum(str(path) in line for line in lines) == 3
    assert sum(line.startswith("  override: ") for line in lines) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[training]\nseed = = 1", r"not valid TOML: .*line 2, column 8"),
        ("[training]\nseed = 1\nseed = 2", r"not valid TOML: .*line 3"),
        (b"# \xff\n", r"not UTF-8 text \(line 1\)"),
        ("seed = " + "9" * 5000, r"not valid TOML"),
    ],
)
def test_an_unreadable_file(write_recipe, content, message):
    with pytest.raises(UserError, match=message):
        load_recipe(write_recipe(content))


def test_an_unknown_name_lists_the_shipped_recipes():
    with pytest.raises(UserError, match=r'Did you mean "imdb_quick".*imdb, imdb_base') as raised:
        load_recipe("imdb_quik")
    assert "'imdb_quik'" in str(raised.value)


def test_a_missing_path_and_a_folder(tmp_path):
    with pytest.raises(UserError, match=r'no such recipe. Did you mean "imdb"'):
        load_recipe(tmp_path / "imbd.toml")
    with pytest.raises(UserError, match="A recipe is a file, and this is a folder"):
        load_recipe(tmp_path)


# --- overrides


def test_overrides_are_toml_literals_and_bare_words_are_text():
    recipe = load_recipe(
        "imdb",
        [
            "training.learning_rate = 1e-4",
            "training.jit_compile=true",
            "model.preset=hf://org/name",
            "export.name=2024",
            'data.data_dir="/data = here"',
        ],
    )
    assert recipe.training.learning_rate == 1e-4
    assert recipe.training.jit_compile is True
    assert recipe.model.preset == "hf://org/name"
    assert recipe.export.name == "2024"
    assert recipe.data.data_dir == "/data = here"
    assert "export.name" in recipe.overridden


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.epochs=abc",
            r"\[training\] epochs: not a TOML value. Received: 'abc'. Expected: a",
        ),
        ("training.epochs", r"no value. Received: 'training.epochs'. Expected: section.key=value"),
        ("training.epochs=", r"not a TOML value. Received: ''"),
        ("training.jit_compile=True", r"Received: 'True'. Expected: true or false"),
        ("training.epochs=0", r"out of range. Received: 0"),
        ("epochs=2", r"a key without its section.*training.epochs"),
        ("training.epoch=2", r'unknown key. Received: \'epoch\'. Did you mean "epochs"'),
        ("modle.preset=x", r'unknown section.*Did you mean "model"'),
        ("training.seed=1\nbatch_size=2", r"not a TOML value"),
        ('model.preset="x', r"not a TOML value"),
        ("model.preset=", r"not a possible value. Received: ''"),
        ("name=x", r"a key without its section"),
    ],
)
def test_one_faulty_override(override, message):
    with pytest.raises(UserError, match=message):
        load_recipe("imdb", [override])


def test_the_same_override_twice():
    with pytest.raises(UserError, match=r"given twice. Received: 'training.seed=2'"):
        load_recipe("imdb", ["training.seed=1", "training.seed=2"])


def test_a_lone_override_is_not_read_letter_by_letter():
    assert load_recipe("imdb", "training.seed=5").training.seed == 5


def test_an_overridden_duration_replaces_the_recipes_own(write_recipe):
    path = write_recipe("[training]\nepochs = 2\nwarmup_fraction = 0.2")
    training = load_recipe(path, ["training.steps=10", "training.warmup_examples=64"]).training
    assert (training.epochs, training.steps) == (None, 10)
    assert (training.warmup_fraction, training.warmup_examples) == (None, 64)


def test_two_overrides_of_one_duration():
    with pytest.raises(UserError, match=r"override: .*epochs, steps: one duration given twice"):
        load_recipe("imdb", ["training.steps=10", "training.epochs=1"])


def test_a_mapping_of_overrides_takes_python_values():
    recipe = load_recipe(
        "imdb_quick",
        {"data.train_examples": None, "data.data_dir": Path("x"), "training.epochs": None},
    )
    assert recipe.data.train_examples is None
    assert recipe.data.data_dir == "x"
    assert recipe.training.epochs == 3.0
    with pytest.raises(UserError, match=r"seed: wrong type"):
        load_recipe("imdb", {"training.seed": "1"})
    with pytest.raises(UserError, match=r"\[model\] preset: wrong type"):
        load_recipe("imdb", {"model.preset": None})


def test_only_a_shipped_recipe_with_its_own_data_falls_back(write_recipe):
    assert load_recipe("imdb", ["training.epochs=1"]).may_fall_back
    assert not load_recipe("imdb_sample").may_fall_back
    assert not load_recipe("imdb", ["data.dataset=imdb_reviews"]).may_fall_back
    assert not load_recipe(write_recipe("[data]\nallow_builtin_sample = true")).may_fall_back
