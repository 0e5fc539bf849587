"""Finds, reads and checks a recipe."""

from __future__ import annotations

import os
import tomllib
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from kerasft.errors import UserError, nearest
from kerasft.recipe.check import TUNING, find_faults, find_heading_faults, flatten, raise_faults
from kerasft.recipe.conflicts import find_conflicts
from kerasft.recipe.durations import DURATION_FAMILIES
from kerasft.recipe.overrides import ORIGIN, parse_overrides
from kerasft.recipe.recipe import Recipe
from kerasft.recipe.rules import BALANCED, read_class_weights
from kerasft.recipe.sections import SECTIONS
from kerasft.recipe.settings import SETTINGS, to_literal
from kerasft.recipe.space import read_space


class RecipeInfo(NamedTuple):
    """A shipped recipe, listed: `name`, `path` and its one-line `summary`."""

    name: str
    path: Path
    summary: str


def recipes_folder() -> Path:
    """The checkout's `pipelines/` if there is one, else the copy inside the package."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / "pipelines").is_dir():
        return checkout / "pipelines"
    return package / "_recipes"


def list_recipes() -> list[RecipeInfo]:
    """The shipped recipes, sorted by name."""
    infos = []
    for path in sorted(recipes_folder().glob("*.toml")):
        try:
            summary = str(_read_toml(path).get("summary", ""))
        except UserError:
            summary = "(cannot be read)"  # one broken file must not hide the others
        infos.append(RecipeInfo(path.stem, path, summary))
    return infos


def load_recipe(
    name_or_path: str | os.PathLike[str],
    overrides: Iterable[str] | Mapping[str, object] = (),
) -> Recipe:
    """Loads a recipe and checks all of it.

    Example:
    ```python
    recipe = load_recipe("imdb_quick", ["training.epochs=2"])
    recipe.training.epochs  # 2.0
    ```

    Args:
        name_or_path: Name of a shipped recipe, or path of a TOML file.
        overrides: `"section.key=TOML literal"` strings, or a mapping from `section.key` to values,
            where `None` unsets. An overridden duration replaces the recipe's own, in any unit.

    Returns:
        The recipe with every default filled in.

    Raises:
        UserError: The recipe cannot be found or read, or has errors; all of them are reported.
    """
    path = _find_recipe(name_or_path)
    document = _read_toml(path)
    values, faults = flatten(document, str(path))
    space, space_faults = read_space(document.get(TUNING, {}), str(path))
    changes, unread = parse_overrides(overrides)
    # In a mapping `None` unsets, and only settings that a recipe may leave unset.
    unset = {
        name
        for name, value in changes.items()
        if value is None and name in SETTINGS and SETTINGS[name].optional
    }
    changed = {name: value for name, value in changes.items() if name not in unset}
    name, summary = document.get("name", path.stem), document.get("summary", "")
    faults += find_heading_faults(name, summary, str(path)) + find_faults(values, str(path))
    faults += space_faults + unread + find_faults(changed, ORIGIN)
    raise_faults(f"Recipe {path.name}", faults)

    merged = {name: values[name] for name in values.keys() - unset - _replaced(changed)} | changed
    recipe = Recipe(
        name=name,
        summary=summary,
        shipped=path.resolve().parent == recipes_folder(),
        overridden=frozenset(changes),
        written=values,
        tuning=space,
        **{section: _build_section(section, merged) for section in SECTIONS},
    )
    raise_faults(f"Recipe {path.name}", list(find_conflicts(recipe)))
    return recipe


def _replaced(changed: Mapping[str, object]) -> set[str]:
    """The names that an override replaces: all members of a family of which one is given."""
    keys = {name.removeprefix("training.") for name in changed if name.startswith("training.")}
    return {
        f"training.{member}"
        for family in DURATION_FAMILIES.values()
        if family.given(keys)
        for member in family.members
    }


def _build_section(section: str, values: Mapping[str, object]) -> object:
    given = {
        SETTINGS[name].key: _convert(SETTINGS[name].type, value)
        for name, value in values.items()
        if SETTINGS[name].section == section
    }
    return SECTIONS[section](**given)


def _convert(kind: type, value: object) -> object:
    """Converts TOML's integer to a float setting, its list to a tuple; a table's weights, too."""
    if kind is dict and isinstance(value, str) and value != BALANCED:
        value = read_class_weights(value)
        warnings.warn(
            f"Write training.class_weights as a table: {to_literal(value)}. The text of earlier "
            "versions is read in this one for the last time.",
            FutureWarning,
            stacklevel=4,
        )
    if kind is dict and isinstance(value, dict):
        return {name: float(weight) for name, weight in value.items()}
    return kind(value) if kind in (float, tuple) else value


def _find_recipe(name_or_path: str | os.PathLike[str]) -> Path:
    """Returns the file of a shipped recipe's name, or the path itself."""
    text = os.fspath(name_or_path)
    shipped = {path.stem: path for path in recipes_folder().glob("*.toml")}
    if text in shipped:
        return shipped[text]
    path = Path(os.path.expanduser(text))
    if os.path.isdir(path):
        raise UserError(
            "A recipe is a file, and this is a folder.",
            received=text,
            expected=f"a TOML file, or one of {', '.join(sorted(shipped))}",
        )
    if not os.path.exists(path):
        stem = text.replace("\\", "/").rpartition("/")[2].removesuffix(".toml")
        raise UserError(
            f"There is no such recipe.{nearest(stem, shipped)}",
            received=text,
            expected=f"one of {', '.join(sorted(shipped))}, or the path of a TOML file",
        )
    return path


def _read_toml(path: Path) -> dict[str, object]:
    text = ""
    try:
        # "utf-8-sig" drops the byte order mark of some Windows editors.
        text = path.read_bytes().decode("utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path} is not UTF-8 text (line {line}).", expected="UTF-8") from error
    except ValueError as error:  # tomllib's own, and Python's for a number that is too long
        last_line = f"at line {text.count(chr(10)) + 1}, the end of the document"
        raise UserError(
            f"{path} is not valid TOML: {error}.".replace("at end of document", last_line),
            fix='key = value lines under [section] lines; text stands in "quotes".',
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
