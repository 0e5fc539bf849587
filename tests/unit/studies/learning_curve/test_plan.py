"""What a command line asks for as a learning curve, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.runs.arguments import LATEST
from kerasft.studies.learning_curve.plan import (
    SERIES,
    base_name,
    make_plan,
    read_sizes,
    recipes_of_sizes,
)
from kerasft.studies.series import create_series


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def plan(recipe="imdb_quick", sizes="100,300", seeds=None, resume=None, overrides=()):
    return make_plan(
        SimpleNamespace(
            recipe=recipe, sizes=sizes, seeds=seeds, resume=resume, overrides=list(overrides)
        )
    )


def begin(name="imdb_quick", sizes=(100, 300), num_seeds=3):
    return create_series(SERIES, recipes_of_sizes(load_recipe(name), sizes), num_seeds)


def test_sizes_and_seeds_of_a_new_curve():
    made = plan(sizes="100, 300,1000", overrides=["training.epochs=1"])
    assert (made.sizes, made.num_seeds, made.series) == ((100, 300, 1000), 3, None)
    assert made.recipe.training.epochs == 1
    assert plan(seeds=5).num_seeds == 5


def test_a_seed_of_the_users_stands_alone():
    made = plan(overrides=["training.seed=7"])
    assert (made.num_seeds, made.recipe.training.seed) == (None, 7)


def test_each_size_is_a_recipe_of_its_own_that_exports_nothing():
    recipes = recipes_of_sizes(load_recipe("imdb_quick"), [100, 300])
    assert [recipe.name for recipe in recipes] == ["imdb_quick-100", "imdb_quick-300"]
    assert [recipe.data.train_examples for recipe in recipes] == [100, 300]
    assert not any(recipe.export.enabled for recipe in recipes)
    series = create_series(SERIES, recipes, 2)
    assert [(r.name, r.training.seed) for r in series.planned()] == [
        ("imdb_quick-100", 1),
        ("imdb_quick-100", 2),
        ("imdb_quick-300", 1),
        ("imdb_quick-300", 2),
    ]
    assert base_name(series) == "imdb_quick"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100",
        "100,",
        "0,100",
        "-1,100",
        "300,100",
        "100,100",
        "1e2,1e3",
        "100,3.5",
        "a,b",
        "²,³",
    ],
)
def test_what_is_no_list_of_sizes_is_refused(text):
    with pytest.raises(UserError, match=r"--sizes are no sizes.*at least two.*--sizes 100,300,"):
        read_sizes(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recipe": None}, r"Which recipe\?.*kerasft learning-curve imdb --sizes"),
        ({"recipe": None, "resume": LATEST}, r"Which recipe\?"),
        ({"sizes": None}, r"How many training examples\?.*learning-curve imdb_quick --sizes"),
        ({"sizes": None, "resume": LATEST}, r"How many training examples\?"),
        ({"recipe": "imdb_quik"}, r'no such recipe. Did you mean "imdb_quick"'),
        ({"seeds": 0}, r"--seeds is how many there are. Received: 0"),
        ({"seeds": 2, "overrides": ["training.seed=4"]}, r"seeds 1 to 2, and training.seed is"),
        ({"overrides": ["data.train_examples=9"]}, r"--sizes says .* data.train_examples is given"),
        ({"overrides": ["export.enabled=true"]}, r"A learning curve exports no models"),
        ({"overrides": ["training.epoch=1"]}, r'Did you mean "epochs"'),
        ({"recipe": "classify"}, r"names no files to train on"),
        ({"resume": LATEST}, r"There is nothing to resume"),
        ({"resume": LATEST, "overrides": ["training.epochs=1"]}, r"no setting can be changed"),
        ({"resume": "training.epochs=1"}, r"no setting can be changed"),
        ({"resume": "runs/none"}, r"is not that of a learning curve. Received: 'runs/none'"),
    ],
)
def test_a_mistake_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        plan(**arguments)


def test_settings_that_say_what_a_curve_does_anyway_are_no_mistake():
    plan(overrides=["export.enabled=false"])


def test_the_latest_curve_of_the_same_sizes_and_seeds_is_gone_on_with():
    wanted = begin()
    begin(sizes=(100, 1000))
    begin(num_seeds=2)
    begin(name="imdb_sample")
    assert plan(resume=LATEST).series.folder == wanted.folder


def test_a_folder_says_all_there_is_to_say():
    series = begin(num_seeds=2)
    folder = str(series.folder.path)
    made = plan(recipe=None, sizes=None, resume=folder)
    assert made.series.folder == series.folder
    assert (made.sizes, made.num_seeds) == ((100, 300), 2)
    assert plan(resume=folder, seeds=2).series.folder == series.folder


@pytest.mark.parametrize(
    "other",
    [{"recipe": "imdb_sample"}, {"sizes": "100,200"}, {"seeds": 2}, {"sizes": "100,300,900"}],
)
def test_a_curve_is_not_resumed_as_another(other):
    folder = str(begin().folder.path)
    message = r"is another than the one named.*imdb_quick; --sizes 100,300; --seeds 3, or none"
    with pytest.raises(UserError, match=message):
        plan(resume=folder, **other)


def test_a_series_of_other_runs_is_no_curve():
    series = create_series("glue", [load_recipe(f"glue_{task}") for task in ("rte", "mrpc")], 2)
    with pytest.raises(UserError, match=r"not that of a learning curve.*runs/glue-"):
        plan(recipe=None, sizes=None, resume=str(series.folder.path))
