"""Which settings a study searches."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.recipe.space import Dimension
from kerasft.studies.tuning.space import count_points, difference, settle_space, usual_space


@pytest.fixture
def load(tmp_path):
    """Loads a recipe whose `[tuning]` has these lines."""

    def load(lines: str, *overrides: str):
        path = tmp_path / "mine.toml"
        path.write_text(f"[tuning]\n{lines}\n")
        return load_recipe(path, overrides)

    return load


def names(space):
    return [dimension.name for dimension in space]


def test_the_usual_space_has_the_ranges_of_the_papers_and_the_recipes_own_values():
    recipe = load_recipe("glue_mrpc", {"training.learning_rate": 2e-4, "training.epochs": 7})
    rate, size, epochs, warmup = usual_space(recipe, "random")
    assert (rate.kind, rate.values) == ("log", (1e-5, 2e-4))
    assert size.values == (16, 32)
    assert epochs.values == (2.0, 3.0, 4.0, 7.0)
    assert warmup.values == (0.0, 0.1)


def test_a_grid_gets_choices_and_hyperband_no_epochs():
    recipe = load_recipe("glue_mrpc")
    assert usual_space(recipe, "grid")[0].values == (2e-5, 3e-5, 5e-5, 1e-4)
    assert "training.epochs" not in names(usual_space(recipe, "hyperband"))
    steps = load_recipe("glue_mrpc", {"training.steps": 9})
    assert "training.epochs" not in names(usual_space(steps, "random"))


def test_what_is_given_on_the_command_line_is_held():
    recipe = load_recipe("glue_mrpc", ["training.learning_rate=3e-5", "training.warmup_steps=5"])
    assert names(settle_space(recipe, "random")) == ["training.batch_size", "training.epochs"]


CONDITIONAL = """
"adapter.method" = {choices = ["none", "lora"]}
"adapter.rank" = {choices = [4, 8], when = {"adapter.method" = ["lora"]}}
"model.dropout" = {range = [0, 0.5]}
"""


def test_a_condition_on_what_is_held_is_met_or_not(load):
    space = settle_space(load(CONDITIONAL, "adapter.method=lora"), "random")
    assert names(space) == ["model.dropout", "adapter.rank"]
    assert space[1].when == ()
    assert names(settle_space(load(CONDITIONAL, "adapter.method=none"), "random")) == [
        "model.dropout"
    ]


DROPOUT = '"model.dropout" = {range = [0, 0.5]}'
WHOLE = r"Hyperband gives trials a third.*training\.epochs as a"


@pytest.mark.parametrize(
    ("lines", "override", "method", "message"),
    [
        (DROPOUT, "model.dropout=0.1", "random", r"nothing to search.* Received: 'model\.dropout'"),
        (DROPOUT, "", "grid", r"A grid needs values that can be counted.*model\.dropout"),
        (DROPOUT, "training.epochs=1", "hyperband", WHOLE),
        (DROPOUT, "training.epochs=2.5", "hyperband", WHOLE),
        (DROPOUT, "training.steps=9", "hyperband", r"Received: 'training\.epochs=None'"),
        (
            '"training.epochs" = {choices = [2, 3]}',
            "",
            "hyperband",
            r"Hyperband decides itself.*training\.epochs in \[tuning\]",
        ),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(load, lines, override, method, message):
    with pytest.raises(UserError, match=message):
        settle_space(load(lines, *filter(None, [override])), method)


def test_control_a_grid_of_steps_can_be_counted(load):
    assert settle_space(load('"model.dropout" = {range = [0, 0.5], step = 0.1}'), "grid")


def test_the_difference_between_two_spaces():
    recipe = load_recipe("glue_mrpc")
    ours = usual_space(recipe, "random")
    assert difference(ours, ours) == {}
    theirs = usual_space(recipe, "grid")
    assert difference(ours, theirs) == {
        "training.learning_rate": ({"log": [1e-5, 1e-4]}, {"choices": [2e-5, 3e-5, 5e-5, 1e-4]})
    }
    assert difference(ours, ours[:-1]) == {
        "training.warmup_fraction": ({"choices": [0.0, 0.1]}, None)
    }


WHEN_LORA = (("adapter.method", ("lora",)),)


@pytest.mark.parametrize(
    ("space", "count"),
    [
        ([("training.batch_size", "choices", (8, 16))], 2),
        ([("training.batch_size", "range", (8, 12))], 5),
        ([("model.dropout", "range", (0.0, 0.3), 0.1)], 4),
        ([("model.dropout", "range", (0.0, 0.3))], None),
        (
            [
                ("adapter.method", "choices", ("none", "lora", "bitfit")),
                ("adapter.rank", "choices", (4, 8), None, WHEN_LORA),
                ("training.batch_size", "choices", (8, 16)),
            ],
            8,
        ),
    ],
)
def test_the_points_of_a_space_are_counted(space, count):
    assert count_points([Dimension(*dimension) for dimension in space]) == count
