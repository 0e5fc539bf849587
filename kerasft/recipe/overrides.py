"""Overrides: `section.key=value` on the command line, the value a TOML literal."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping

from kerasft.errors import UserError
from kerasft.recipe.settings import SETTINGS

ORIGIN = "override"


def parse_overrides(
    overrides: Iterable[str] | Mapping[str, object],
) -> tuple[dict[str, object], list[str]]:
    """Parses `"section.key=literal"` strings, or a mapping, without checking the values.

    A shell removes quotes, so a value of a text setting that is not a TOML string is taken
    literally: `model.preset=bert_tiny_en_uncased`, `export.name=2024`. A list of one needs no
    brackets: `data.train_files=reviews.csv`.

    Returns:
        `{"section.key": value}`, and the errors of values that could not be parsed.
    """
    if isinstance(overrides, Mapping):
        return {
            name: os.fspath(value) if isinstance(value, os.PathLike) else value
            for name, value in overrides.items()
        }, []
    if isinstance(overrides, str):
        overrides = [overrides]  # a lone string would be read letter by letter
    values: dict[str, object] = {}
    faults = []
    for override in overrides:
        name, equals, literal = (part.strip() for part in override.partition("="))
        try:
            if not equals:
                raise _error(override, "no value", "section.key=value")
            if name in values:
                raise _error(override, "given twice", f"{name} once")
            values[name] = _parse_literal(name, literal)
        except UserError as error:
            faults.append(str(error))
    return values, faults


def _parse_literal(name: str, literal: str) -> object:
    """Returns a TOML value, or the literal itself for a text setting."""
    setting = SETTINGS.get(name)
    kind = None if setting is None else setting.type
    try:
        document = tomllib.loads(f"value = {literal}")
    except ValueError:  # not TOML, or a number beyond what Python reads
        document = {}
    value = document.get("value")
    is_literal = document.keys() == {"value"}  # a newline in it could smuggle in a second key
    is_quoted = literal.startswith(("'", '"'))
    if kind in (str, dict) and not isinstance(value, str | kind) and not is_quoted:
        return literal
    if kind is tuple and not literal.startswith("["):
        return [value if isinstance(value, str) else literal]  # one item needs no brackets
    if is_literal:
        return value
    if setting is None:
        return literal  # the name is the error, and will be reported
    place = f"[{setting.section}] {setting.key}: not a TOML value"
    raise _error(literal, place, setting.expected)


def _error(received: str, what: str, expected: str) -> UserError:
    return UserError(f"{ORIGIN}: {what}.", received=received, expected=expected)
