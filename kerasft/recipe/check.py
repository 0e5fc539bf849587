"""Validates a recipe and reports all errors at once, one line each.

`origin` is the file, or "override", as error lines name it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kerasft.errors import UserError, nearest
from kerasft.recipe.durations import DURATION_FAMILIES
from kerasft.recipe.rules import matching
from kerasft.recipe.sections import SECTIONS
from kerasft.recipe.settings import SETTINGS

_HEADINGS = ("name", "summary")
TUNING = "tuning"  # its section is a search space: see space.py
# A run's folder is named after the recipe.
_NAME = matching(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*", "text without / or \\, its first sign no dot")


def raise_faults(what: str, faults: list[str]) -> None:
    """Raises one `UserError` with a line per error, if there are any; `what` is its first line."""
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise UserError("\n  ".join([f"{what} cannot be used: {count}.", *faults]))


def flatten(document: Mapping[str, object], origin: str) -> tuple[dict[str, object], list[str]]:
    """Flattens a parsed TOML document to `{"section.key": value}`.

    Returns the values, known or not, and the errors of the top level.
    """
    values: dict[str, object] = {}
    faults: list[str] = []
    for section, table in document.items():
        if section in SECTIONS and isinstance(table, dict):
            values |= {f"{section}.{key}": value for key, value in table.items()}
        elif section in SECTIONS:
            faults.append(fault(origin, f"[{section}]", "not a table", table, f"[{section}]"))
        elif section not in (*_HEADINGS, TUNING):
            faults.append(_unknown_section(origin, section, is_table=isinstance(table, dict)))
    return values, faults


def find_heading_faults(name: object, summary: object, origin: str) -> list[str]:
    """Checks the name and summary above the sections."""
    faults = []
    if not (isinstance(name, str) and _NAME.accepts(name)):
        faults.append(fault(origin, "name", "not a name", name, _NAME.expected))
    if not isinstance(summary, str):
        faults.append(fault(origin, "summary", "wrong type", summary, "text"))
    return faults


def find_faults(values: Mapping[str, object], origin: str) -> list[str]:
    """Checks names, types, ranges and durations of `{"section.key": value}` of one origin."""
    faults = []
    for name, value in values.items():
        section, _, key = name.partition(".")
        if section not in SECTIONS:
            faults.append(_unknown_section(origin, section if key else name, is_table=bool(key)))
        elif name not in SETTINGS:
            faults.append(_unknown_key(origin, section, key))
        elif what := SETTINGS[name].find_fault(value):
            place, expected = f"[{section}] {key}", SETTINGS[name].expected
            hint = nearest(value, SETTINGS[name].rule.choices) if isinstance(value, str) else ""
            faults.append(fault(origin, place, what, value, expected, hint))
    return [*faults, *find_duration_faults(values, origin)]


def find_duration_faults(
    values: Mapping[str, object], origin: str, *, section: str = "training", what: str = "given"
) -> Iterator[str]:
    """Yields an error for each duration that is set twice in a section.

    `what` says how, for the message: `given` or `searched`.
    """
    keys = {name.removeprefix("training.") for name in values if name.startswith("training.")}
    for family in DURATION_FAMILIES.values():
        given = family.given(keys)
        if len(given) > 1:
            shown = [f"{key} = {values[f'training.{key}']}" for key in given]
            received = ", ".join(shown if what == "given" else given)
            place = f"[{section}] {', '.join(given)}"
            expected = f"exactly one of {', '.join(family.members)}"
            yield fault(origin, place, f"one duration {what} twice", received, expected)


def _unknown_section(origin: str, section: str, *, is_table: bool) -> str:
    if is_table:
        known = ", ".join(f"[{known}]" for known in (*SECTIONS, TUNING))
        return fault(
            origin,
            f"[{section}]",
            "unknown section",
            section,
            known,
            nearest(section, (*SECTIONS, TUNING)),
        )
    homes = [setting.section for setting in SETTINGS.values() if setting.key == section]
    keys = [setting.key for setting in SETTINGS.values()]
    hint = _belongs(section, homes[0]) if homes else nearest(section, keys)
    return fault(origin, section, "a key without its section", section, "section.key", hint)


def _unknown_key(origin: str, section: str, key: str) -> str:
    known = [setting.key for setting in SETTINGS.values() if setting.section == section]
    homes = [setting.section for setting in SETTINGS.values() if setting.key == key]
    hint = _belongs(key, homes[0]) if homes else nearest(key, known)
    expected = None if hint else f"one of {', '.join(known)}"
    return fault(origin, f"[{section}] {key}", "unknown key", key, expected, hint)


def _belongs(key: str, section: str) -> str:
    return f' "{key}" belongs in [{section}]: {section}.{key}.'


def fault(
    origin: str,
    place: str,
    what: str,
    received: object,
    expected: str | None,
    hint: str = "",
) -> str:
    """Formats an error at a place, `[section] key`, as one line.

    `expected` is `None` if the `hint`, which is appended, says it.
    """
    message = UserError(f"{origin}: {place}: {what}.", received=received, expected=expected)
    return f"{message}{hint}"
