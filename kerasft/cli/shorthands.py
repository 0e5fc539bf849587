"""Shorthands: command-line options of a pipeline that set fields of its recipe."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kerasft.errors import UserError

# An override after an option of several values; not one of its values.
_OVERRIDE = re.compile(r"[a-z]+\.[a-z0-9_]+ *=")


class Shorthand(NamedTuple):
    """An option that sets a recipe field: `--text body` for `data.text_column=body`.

    Args:
        flag: The option, such as `--text`.
        field: The field it sets, `section.key`.
        help: One line for `--help`.
        many: Whether it takes several values, for a field that is a list.
        metavar: The name of a value in `--help`.
        choose_field: Returns the field for given values, where it depends on them. A field other
            than `field` gets the values one by one, not as a list.
    """

    flag: str
    field: str
    help: str
    many: bool = False
    metavar: str | None = None
    choose_field: Callable[[Sequence[str]], str] | None = None

    @property
    def destination(self) -> str:
        """The attribute of the parsed arguments that holds the values."""
        return self.flag.lstrip("-").replace("-", "_")


def add_shorthands(parser: argparse.ArgumentParser, shorthands: Sequence[Shorthand]) -> None:
    """Adds the options to a parser; `expand_shorthands` reads their values."""
    for shorthand in shorthands:
        parser.add_argument(
            shorthand.flag,
            dest=shorthand.destination,
            action="extend",  # the option may be repeated
            nargs="+" if shorthand.many else 1,
            metavar=shorthand.metavar,
            help=f"{shorthand.help} ({shorthand.field})",
        )


def expand_shorthands(arguments: argparse.Namespace, shorthands: Sequence[Shorthand]) -> list[str]:
    """Returns all overrides of a command line, including those of its shorthands.

    Raises:
        UserError: An option has no value, or its field is overridden as well.
    """
    overrides, expanded = list(arguments.overrides), []
    for shorthand in shorthands:
        given = getattr(arguments, shorthand.destination) or ()
        # argparse takes overrides after such an option for more of its values.
        values = [value for value in given if not (shorthand.many and _OVERRIDE.match(value))]
        overrides += [value for value in given if value not in values]
        if values:
            expanded.append((shorthand, values))
        elif given:
            raise UserError(
                f"{shorthand.flag} has no value.",
                received=" ".join([shorthand.flag, *given]),
                expected=shorthand.help,
            )
    return overrides + [
        override
        for shorthand, values in expanded
        for override in _write_overrides(shorthand, values, overrides)
    ]


def _write_overrides(
    shorthand: Shorthand, values: list[str], overrides: Sequence[str]
) -> Iterator[str]:
    """Yields the overrides of an option; one given too often is reported with the others."""
    field = shorthand.choose_field(values) if shorthand.choose_field else shorthand.field
    for override in overrides:
        if override.partition("=")[0].strip() == field:
            raise UserError(
                f"{shorthand.flag} stands for {field}, and both are given.",
                received=f"{shorthand.flag} {' '.join(values)}, and {override}",
                expected="one of them",
                fix=f"leave {override} out.",
            )
    if shorthand.many and field == shorthand.field:
        yield f"{field}=[{', '.join(map(_literal, values))}]"
    else:
        yield from (f"{field}={_literal(value)}" for value in values)


def _literal(text: str) -> str:
    """Returns a TOML string; JSON's form is the same, except for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
