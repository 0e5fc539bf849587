"""Descriptions of every setting of a recipe, for checking, documentation and writing."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from types import NoneType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from kerasft.recipe.durations import DURATION_FAMILIES
from kerasft.recipe.rules import Rule
from kerasft.recipe.sections import SECTIONS

_NOUNS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list of texts",
    dict: "a table",
}


_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Setting(NamedTuple):
    """One setting, described.

    Args:
        type: `bool`, `int`, `float`, `str`; `tuple`: a list of texts; `dict`: a table, or text.
        optional: Whether it may be unset (`None`).
        help: One line of help.
        rule: The condition on its value.
    """

    section: str
    key: str
    type: type
    optional: bool
    default: Any
    help: str
    rule: Rule

    @property
    def name(self) -> str:
        """`section.key`, as in an override."""
        return f"{self.section}.{self.key}"

    @property
    def expected(self) -> str:
        """The expected value, in words."""
        if self.type in (str, dict) and self.rule.expected:
            return self.rule.expected
        return f"{_NOUNS[self.type]} {self.rule.expected}".strip()

    def find_fault(self, value: object) -> str | None:
        """Returns what is wrong with `value`, or `None`.

        An `int` is also a `float` here, but a `bool` is not an `int`.
        """
        if self.type is tuple:
            return _find_list_fault(value, self.rule)
        allowed = {float: (int, float), dict: (dict, str)}.get(self.type, self.type)
        if isinstance(value, bool) != (self.type is bool) or not isinstance(value, allowed):
            return "wrong type"
        if self.type is dict:
            return None if self.rule.accepts(value) else "not a possible value"
        if self.type is str:
            is_text = self.rule.allows_blanks or value.strip()
            return None if is_text and self.rule.accepts(value) else "not a possible value"
        # TOML's integers have 64 bits, as have TensorFlow's; TOML also allows nan and inf.
        in_range = -(2**63) <= value < 2**63 and self.rule.accepts(value)
        return None if in_range else "out of range"


def _find_list_fault(value: object, rule: Rule) -> str | None:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        return "wrong type"
    usable = all(item.strip() for item in value) and rule.accepts(value)
    return None if usable else "not a possible value"


def _describe(section: str, settings_class: type) -> list[Setting]:
    hints = get_type_hints(settings_class)
    usual = {family.default_key: family.default_value for family in DURATION_FAMILIES.values()}
    described = []
    for field in dataclasses.fields(settings_class):
        hint = hints[field.name]
        is_list = get_origin(hint) is tuple
        types = (tuple,) if is_list else get_args(hint) or (hint,)
        types = tuple(dict if get_origin(kind) is Mapping else kind for kind in types)
        default = usual.get(field.name) if section == "training" else None
        described.append(
            Setting(
                section=section,
                key=field.name,
                type=types[0],
                optional=NoneType in types,
                default=field.default if default is None else default,
                help=field.metadata["about"],
                rule=field.metadata["rule"],
            )
        )
    return described


SETTINGS = {
    described.name: described
    for section, settings_class in SECTIONS.items()
    for described in _describe(section, settings_class)
}


def describe_fields() -> tuple[Setting, ...]:
    """Every setting of a recipe in the order of its sections, for documentation and tests."""
    return tuple(SETTINGS.values())


def to_literal(value: object) -> str:
    """Writes a value as TOML, on one line.

    JSON writes booleans and text alike, except for one control character.
    """
    if isinstance(value, Mapping):
        pairs = (
            f"{k if _BARE_KEY.fullmatch(k) else to_literal(k)} = {to_literal(v)}"
            for k, v in value.items()
        )
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(to_literal, value))}]"
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
