"""Shorthands: options of a pipeline's command line that stand for fields of its recipe."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from kerasft.errors import UserError

# What begins so is an override that stands behind an option of several values, no value of it.
_OVERRIDE = re.compile(r"[a-z]+\.[a-z0-9_]+ *=")


class Shorthand(NamedTuple):
    """An option that stands for a field of the recipe: `--text body` for `data.text_column=body`.

    Args:
        flag: The option, such as `--text`.
        field: The field it stands for, `section.key`.
        help: One line for `--help`.
        many: Whether it takes several values, for a field that is a list.
        metavar: What `--help` calls a value.
        choose_field: From the values to the field, where that depends on them. A field other
            than `field` is given the values one by one, not as a list.
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
    """Adds options to a parser; what they are given is read by `expand_shorthands`."""
    for shorthand in shorthands:
        parser.add_argument(
            shorthand.flag,
            dest=shorthand.destination,
            action="extend",  # given twice, it must not forget the first
            nargs="+" if shorthand.many else 1,
            metavar=shorthand.metavar,
            help=f"{shorthand.help} ({shorthand.field})",
        )


def expand_shorthands(arguments: argparse.Namespace, shorthands: Sequence[Shorthand]) -> list[str]:
    """Returns the overrides of a command line, those that its shorthands stand for included.

    Args:
        arguments: Of a parser that was given to `add_shorthands`, with `overrides`.
        shorthands: Those that were added.

    Raises:
        UserError: An option has no value, or its field is overridden as well.
    """
    overrides, expanded = list(arguments.overrides), []
    for shorthand in shorthands:
        given = getattr(arguments, shorthand.destination) or ()
        # argparse takes what follows such an option for more of its values.
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
    """Yields what an option stands for; one that is given too often is told with the others."""
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
    """A TOML string; JSON writes it alike, but for one control character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
