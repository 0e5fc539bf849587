"""The written pages: what they name exists, and the page of settings is as new as the settings."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

from kerasft.recipe import describe_fields, list_recipes

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    REPOSITORY / "pipelines" / "README.md",
]
# `kerasft/data/plan/splits.py`, `tests/unit/x.py::TestY::test_z`: a path of ours that a page names.
_NAMED = re.compile(r"`((?:kerasft|tests|docs|pipelines)/[\w./-]*\w)((?:::\w+)*)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def reference():
    """The script that makes docs/recipes.md."""
    path = REPOSITORY / "docs" / "make_recipe_reference.py"
    return SimpleNamespace(**runpy.run_path(str(path)))


def names_in(source: str) -> set[str]:
    """The tests of a file as pytest names them, `TestClass::test_method` among them."""
    names = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{m.name}" for m in node.body if hasattr(m, "name")}
    return names


def find_wrong_names(text: str) -> list[str]:
    """Lists the paths and tests that a page names and that do not exist."""
    wrong = []
    for path, test in _NAMED.findall(text):
        found = REPOSITORY / path
        if not found.exists() or (test and test[2:] not in names_in(found.read_text())):
            wrong.append(f"{path}{test}")
    return wrong


def find_broken_links(text: str, folder: Path) -> list[str]:
    """Lists the links of a page in `folder` that lead to no file."""
    targets = [link.partition("#")[0] for link in _LINK.findall(text) if "://" not in link]
    return [target for target in targets if target and not (folder / target).exists()]


def test_the_page_of_settings_is_up_to_date(reference):
    text = reference.PAGE.read_text(encoding="utf-8")
    assert text == reference.render_page(describe_fields()), (
        "docs/recipes.md is older than the settings: python docs/make_recipe_reference.py"
    )


@pytest.mark.parametrize(
    "change", [{"default": "keep"}, {"help": "Something else."}, {"key": "line_break_tags"}]
)
def test_a_changed_setting_makes_the_page_old(reference, change):
    settings = [
        setting._replace(**change) if setting.name == "data.break_tags" else setting
        for setting in describe_fields()
    ]
    assert reference.render_page(settings) != reference.render_page(describe_fields())


def test_a_bar_in_a_description_does_not_break_the_table(reference):
    setting = describe_fields()[0]._replace(help="this | that <or> [so]")
    row = next(line for line in reference.render_page([setting]).splitlines() if "this" in line)
    assert row.endswith(r"| this \| that \<or> \[so] |")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_what_a_page_names_exists(page):
    text = page.read_text(encoding="utf-8")
    assert find_wrong_names(text) == []
    assert find_broken_links(text, page.parent) == []


def test_every_trap_names_a_test():
    text = (REPOSITORY / "docs" / "traps.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| (?!what goes wrong|---)", line)]
    assert len(rows) > 20
    assert [row for row in rows if not re.search(r"`tests/\S+::test_\w+` \|$", row)] == []


def test_the_recipes_page_lists_every_recipe():
    text = (REPOSITORY / "pipelines" / "README.md").read_text(encoding="utf-8")
    listed, _, measured = text.partition("## Results")
    names = {info.name for info in list_recipes()}
    assert set(re.findall(r"^\| `(\w+)` \|", listed, re.MULTILINE)) == names
    rows = [line for line in measured.splitlines() if line.startswith("| `")]
    assert [row for row in rows if not re.match(r"\| `\w+` \|.*\d", row)] == []


def test_names_and_links_that_lead_nowhere_are_seen():
    here = "tests/contracts/test_docs.py"
    assert find_wrong_names(f"`{here}` and `{here}::test_every_trap_names_a_test`") == []
    assert find_wrong_names("`kerasft/helpers.py`") == ["kerasft/helpers.py"]
    assert find_wrong_names(f"`{here}::test_nothing`") == [f"{here}::test_nothing"]
    text = "[a](traps.md#data) [b](https://example.org/x) [c](#here) [d](../no.md)"
    assert find_broken_links(text, REPOSITORY / "docs") == ["../no.md"]


def test_methods_are_told_from_functions():
    assert names_in("class A:\n    def b(self): ...\ndef c(): ...") == {"A::b", "c"}
