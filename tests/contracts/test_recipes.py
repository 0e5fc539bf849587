"""Recipes and pipelines belong together, and a recipe's header is a lab note."""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

from kerasft import pipelines
from kerasft.recipe import list_recipes, load_recipe

RECIPES = [info.name for info in list_recipes()]
HEADER_LINES = ("command", "hardware", "measured", "variation")


def is_runnable(source: str) -> bool:
    """Whether a module does something under `python -m`."""
    return any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in ast.parse(source).body
    )


def runnable_modules() -> list[str]:
    folder = Path(pipelines.__file__).parent
    return sorted(p.stem for p in folder.glob("*.py") if is_runnable(p.read_text()))


def header_of(text: str) -> dict[str, str]:
    """The `word: ...` lines of the comment that a recipe begins with."""
    comment = re.match(r"(#.*\n)+", text)
    return dict(re.findall(r"^# (\w+): *(.*)$", comment[0] if comment else "", re.MULTILINE))


def faults_in_header(header: dict[str, str], pipeline: str) -> list[str]:
    faults = [f"no {word}" for word in HEADER_LINES if not header.get(word, "").strip()]
    measured = header.get("measured", "")
    if not (re.search(r"\d", measured) or measured.startswith("not here")):
        faults.append("measured holds no figure")
    if f"python -m kerasft.pipelines.{pipeline}" not in header.get("command", ""):
        faults.append("the command does not run the pipeline")
    return faults


def test_there_are_pipelines_and_recipes():
    assert "imdb" in runnable_modules()
    assert {"imdb", "imdb_quick", "imdb_sample", "imdb_base"} <= set(RECIPES)


def test_modules_that_pipelines_share_are_not_taken_for_pipelines():
    assert not {"__init__", "command", "workflow", "session"} & set(runnable_modules())
    assert is_runnable('if __name__ == "__main__":\n    main()')
    assert not is_runnable("def main():\n    pass")


@pytest.mark.parametrize("pipeline", runnable_modules())
def test_every_pipeline_has_a_recipe_of_its_name(pipeline):
    """Or one a task, `glue_mrpc`, where there is nothing to run without a task."""
    by_task = [recipe for recipe in RECIPES if recipe.startswith(f"{pipeline}_")]
    assert pipeline in RECIPES or (pipeline == "glue" and len(by_task) == 9)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_called_after_its_pipeline(recipe):
    assert any(recipe == p or recipe.startswith(f"{p}_") for p in runnable_modules())


@pytest.mark.parametrize("info", list_recipes(), ids=RECIPES)
def test_every_recipe_loads_and_its_header_is_a_lab_note(info):
    recipe = load_recipe(info.name)
    assert (recipe.name, recipe.shipped) == (info.name, True)
    assert recipe.summary == info.summary != ""
    pipeline = max((p for p in runnable_modules() if info.name.startswith(p)), key=len)
    assert faults_in_header(header_of(info.path.read_text()), pipeline) == []


def _named(module: str, arguments: list[str]) -> str:
    """The recipe that a command runs."""
    given = dict(itertools.pairwise(arguments))
    task = f"{module}_{given['--task']}" if "--task" in given else module
    return given.get("--recipe", task).rstrip(")")


@pytest.mark.parametrize("info", list_recipes(), ids=RECIPES)
def test_the_commands_in_a_header_name_the_recipe(info):
    header = header_of(info.path.read_text())
    for word in ("command", "variation"):
        module, *arguments = header[word].partition("kerasft.pipelines.")[2].split()
        assert _named(module, arguments) == info.name
    overrides = [a for a in header["variation"].split() if re.fullmatch(r"\w+\.\w+=.*", a)]
    assert load_recipe(info.name, overrides).overridden


def test_a_header_that_is_no_lab_note_is_seen():
    good = {
        "command": "python -m kerasft.pipelines.imdb",
        "hardware": "2 CPU cores",
        "measured": "accuracy 0.88 in 5 min",
        "variation": "training.epochs=1",
    }
    assert faults_in_header(good, "imdb") == []
    assert faults_in_header(good, "glue") == ["the command does not run the pipeline"]
    assert faults_in_header(good | {"measured": "(later)"}, "imdb") == ["measured holds no figure"]
    assert faults_in_header(good | {"hardware": ""}, "imdb") == ["no hardware"]
    assert header_of('name = "x"\n# command: late\n') == {}
