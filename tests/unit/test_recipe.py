"""Recipes: what they may say, what is told when they say it wrong, and that they round-trip."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kerasft.errors import UserError
from kerasft.recipe import (
    DURATION_FAMILIES,
    TrainingSettings,
    describe_fields,
    list_recipes,
    load_recipe,
    recipes_folder,
    resolve_duration,
)
from kerasft.recipe import read as load_module

# --- what is shipped


def test_a_run_that_is_shorter_than_a_step_is_refused():
    settings = load_recipe("imdb", {"training.epochs": 0.001}).training
    with pytest.raises(UserError, match=r"shorter than one step.*epochs=0\.001.*epochs=0\.01"):
        resolve_duration(settings, "run", steps_per_epoch=100, batch_size=32)
    # Any other duration is at least one step.
    evaluated = resolve_duration(
        load_recipe("imdb", {"training.evaluate_every_epochs": 0.001}).training,
        "evaluate_every",
        steps_per_epoch=100,
        batch_size=32,
    )
    assert evaluated == 1


def test_shipped_settings():
    full, quick = load_recipe("imdb"), load_recipe("imdb_quick")
    assert (full.model.sequence_length, full.training.epochs) == (256, 2.0)
    assert full.data.train_examples is None
    assert (quick.data.train_examples, quick.data.test_examples) == (4000, 5000)
    assert (quick.model.sequence_length, quick.training.sequence_length) == (192, None)
    assert load_recipe("imdb_sample").model.preset == "tiny_random"
    assert load_recipe("imdb_base").training.dtype_policy == "mixed_bfloat16"


def test_the_packaged_recipes_are_used_where_there_is_no_checkout(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "kerasft"
    (package / "recipe").mkdir(parents=True)
    monkeypatch.setattr(load_module, "__file__", str(package / "recipe" / "read.py"))
    assert recipes_folder() == package / "_recipes"
    (tmp_path / "site-packages" / "pipelines").mkdir()
    assert recipes_folder() == package / "_recipes"  # a stray folder is no checkout
    (tmp_path / "site-packages" / "pyproject.toml").touch()
    assert recipes_folder() == tmp_path / "site-packages" / "pipelines"


def test_listing_survives_a_broken_recipe(monkeypatch, tmp_path):
    (tmp_path / "broken.toml").write_text("[data")
    (tmp_path / "whole.toml").write_text('summary = "good"')
    monkeypatch.setattr(load_module, "recipes_folder", lambda: tmp_path)
    assert [info.summary for info in list_recipes()] == ["(cannot be read)", "good"]


# --- a file of the user's own


def test_an_empty_file_is_a_recipe_of_defaults(write_recipe):
    recipe = load_recipe(write_recipe(""))
    assert (recipe.name, recipe.shipped) == ("mine", False)
    for setting in describe_fields():
        value = recipe.values()[setting.name]
        member = any(setting.key in family.members for family in DURATION_FAMILIES.values())
        if setting.section != "training" or not member or value is not None:
            assert value == setting.default


def test_integers_stand_for_numbers_and_become_floats(write_recipe):
    recipe = load_recipe(write_recipe("[training]\nepochs = 2"))
    assert isinstance(recipe.training.epochs, float)


def test_a_windows_byte_order_mark_is_dropped(write_recipe):
    assert load_recipe(write_recipe(b"\xef\xbb\xbf[training]\r\nseed = 7\r\n")).training.seed == 7


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_recipe("imdb").training.seed = 2


# --- durations


@pytest.mark.parametrize(
    ("family", "values", "steps"),
    [
        ("run", {}, 300),
        ("run", {"steps": 7}, 7),
        ("run", {"epochs": 0.25}, 25),
        ("run", {"examples": 33}, 2),
        ("run", {"epochs": 0.006}, 1),
        ("warmup", {}, 30),
        ("warmup", {"warmup_fraction": 0.0}, 0),
        ("warmup", {"warmup_steps": 0}, 0),
        ("warmup", {"warmup_epochs": 1.0}, 100),
        ("evaluate_every", {}, 100),
        ("evaluate_every", {"evaluate_every_examples": 3200}, 100),
        ("checkpoint_every", {"checkpoint_every_steps": 9}, 9),
    ],
)
def test_durations_in_steps(family, values, steps):
    settings = TrainingSettings(**values)
    resolved = resolve_duration(
        settings, family, steps_per_epoch=100, batch_size=32, total_steps=300
    )
    assert resolved == steps


def test_a_duration_that_cannot_be_resolved():
    with pytest.raises(ValueError, match="share of the run: total_steps is needed"):
        resolve_duration(TrainingSettings(), "warmup", steps_per_epoch=1, batch_size=1)
    with pytest.raises(ValueError, match=r'Unknown duration.*Did you mean "warmup"'):
        resolve_duration(TrainingSettings(), "warmpu", steps_per_epoch=1, batch_size=1)
    with pytest.raises(UserError, match="One duration is set twice"):
        TrainingSettings(epochs=1.0, steps=1)


# --- one table


def test_every_default_obeys_its_own_rule():
    for setting in describe_fields():
        if setting.default is not None:
            assert setting.find_fault(setting.default) is None, setting.name
        else:
            assert setting.optional
        assert setting.help.endswith(".")
        assert setting.expected


# Refused without a companion or beside another: tests/unit/test_recipe_conflicts.py has those.
NEED_OTHERS = {
    *(f"data.{split}_files" for split in ("train", "validation", "test")),
    *(f"data.{kind}_column" for kind in ("text", "text_pair", "label", "group")),
    *("data.label_kind", "data.label_columns", "data.label_separator", "data.oversample"),
    "data.delimiter",
    "training.class_weights",
    *("model.truncation", "model.window_stride"),
    *("training.mode", "training.optimizer", "training.momentum", "training.dtype_policy"),
    *("training.schedule", "training.loss", "training.focal_gamma", "training.huber_delta"),
    *("training.max_divergences", "training.all_reduce_dtype"),
    *("training.average_from", "training.gradient_accumulation_steps", "training.jit_compile"),
    *(f"training.{member}" for member in DURATION_FAMILIES["unfreeze_every"].members),
    *("regularization.r_drop", "regularization.mixup_alpha", "augmentation.share"),
}
CHOICES = ("freezing", "adapter")  # sections whose settings need or exclude others


def _values_of(setting) -> st.SearchStrategy:
    """Values that the setting accepts."""
    drawn = {
        bool: st.booleans(),
        int: st.integers(8, 8192),
        float: st.floats(0.001, 0.85) | st.floats(1.5, 9),
        str: st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        tuple: st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3).map(tuple),
    }[setting.type]
    if setting.rule.choices:
        drawn = st.sampled_from(setting.rule.choices)
    elif setting.type is str and setting.rule.expected:
        drawn = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", fullmatch=True)
    return drawn.filter(lambda value: setting.find_fault(value) is None)


@st.composite
def _overrides(draw) -> dict[str, object]:
    free = [
        field
        for field in describe_fields()
        if field.name not in NEED_OTHERS and field.section not in CHOICES
    ]
    fields = draw(st.lists(st.sampled_from(free), unique_by=lambda s: s.name))
    chosen = {setting.name: draw(_values_of(setting)) for setting in fields}
    for family in DURATION_FAMILIES.values():
        for member in [m for m in family.members if f"training.{m}" in chosen][1:]:
            del chosen[f"training.{member}"]
    return chosen


@settings(deadline=None)  # the machine is shared
@example(overrides={"data.dataset": '\x7f\x00\\"\n\t\u2028é'})
@given(overrides=_overrides())
def test_to_toml_round_trips(tmp_path_factory, overrides):
    recipe = load_recipe("imdb_quick", overrides)
    assert overrides.items() <= recipe.values().items()
    path = tmp_path_factory.mktemp("run") / "recipe.toml"
    path.write_text(recipe.to_toml(), encoding="utf-8")
    again = load_recipe(path)
    assert again.values() == recipe.values()
    assert (again.name, again.summary) == (recipe.name, recipe.summary)
    assert not again.shipped


def test_to_toml_marks_what_was_overridden():
    lines = load_recipe("imdb", ["training.seed=4"]).to_toml().splitlines()
    assert [line for line in lines if "overridden" in line] == ["seed = 4  # overridden"]
