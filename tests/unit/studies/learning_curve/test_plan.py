"""What a command line asks for as a learning curve, and what is refused."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.studies.learning_curve.running import (
    SERIES,
    base_name,
    open_curve,
    plan_curve,
    read_sizes,
)
from kerasft.studies.series import Series


def plan(*overrides, name="imdb_quick", sizes=(100, 300), num_seeds=None):
    return plan_curve(load_recipe(name, overrides), sizes, num_seeds)


def test_each_size_is_a_recipe_of_its_own_that_exports_nothing():
    series = plan("export.enabled=false", num_seeds=2)
    assert [recipe.data.train_examples for recipe in series.recipes] == [100, 300]
    assert not any(recipe.export.enabled for recipe in series.recipes)
    assert [(r.name, r.training.seed) for r in series.planned()] == [
        ("imdb_quick-100", 1),
        ("imdb_quick-100", 2),
        ("imdb_quick-300", 1),
        ("imdb_quick-300", 2),
    ]
    assert base_name(series) == "imdb_quick"


def test_three_seeds_are_the_usual_and_one_of_the_users_stands_alone():
    assert plan().num_seeds == 3
    made = plan("training.seed=7")
    assert (made.num_seeds, made.recipes[0].training.seed) == (None, 7)


@pytest.mark.parametrize(
    "text",
    ["", "100", "100,", "0,100", "-1,100", "300,100", "100,100", "1e2,1e3", "100,3.5", "²,³"],
)
def test_what_is_no_list_of_sizes_is_refused(text):
    with pytest.raises(UserError, match=r"--sizes are no sizes.*at least two.*--sizes 100,300,"):
        read_sizes(text)


def test_a_folder_says_all_there_is_to_say():
    series = plan(num_seeds=2).begin(SERIES)
    folder = str(series.folder.path)
    opened = open_curve(folder, SERIES, [], None)
    assert opened == open_curve(folder, SERIES, ["imdb_quick"], 2, (100, 300))
    assert opened.folder == series.folder


@pytest.mark.parametrize(
    "other", [(["imdb_sample"], None, None), ([], None, (100, 200)), ([], 2, None), ([], 3, (100,))]
)
def test_a_curve_is_not_resumed_as_another(other):
    folder = str(plan().begin(SERIES).folder.path)
    message = r"is another than the one named.*imdb_quick; --sizes 100,300; --seeds 3, or none"
    with pytest.raises(UserError, match=message):
        open_curve(folder, SERIES, *other)


def test_a_series_of_other_runs_is_no_curve():
    recipes = tuple(load_recipe(f"glue_{task}") for task in ("rte", "mrpc"))
    series = Series(recipes, 2).begin("glue")
    with pytest.raises(UserError, match=r"not that of a learning curve.*runs/glue-"):
        open_curve(str(series.folder.path), SERIES, [], None)
