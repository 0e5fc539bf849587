"""Rules for setting values: each checks a value and describes the expected one."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, NamedTuple


class Rule(NamedTuple):
    """A condition on a value whose type is already right.

    Args:
        expected: The condition in words. For a number it follows the noun ("a number *above 0*"),
            for text it stands alone.
        accepts: Whether a value meets the condition.
        choices: The possible values, if they can be listed.
        allows_blanks: Whether text may consist of spaces only.
    """

    expected: str
    accepts: Callable[[Any], bool]
    choices: tuple[str, ...] = ()
    allows_blanks: bool = False


ANYTHING = Rule("", lambda value: True)


def at_least(low: float) -> Rule:
    """A number of `low` or more."""
    return Rule(f"of {low} or more", lambda value: value >= low)


def above(low: float) -> Rule:
    """A number above `low`, exclusive."""
    return Rule(f"above {low}", lambda value: value > low)


def between(low: float, high: float) -> Rule:
    """A number from `low` to `high`, both inclusive."""
    return Rule(f"from {low} to {high}", lambda value: low <= value <= high)


def inside(low: float, high: float) -> Rule:
    """A number between `low` and `high`, both exclusive."""
    return Rule(f"above {low} and below {high}", lambda value: low < value < high)


def from_up_to(low: float, high: float) -> Rule:
    """A number from `low`, inclusive, to `high`, exclusive."""
    return Rule(f"of {low} or more and below {high}", lambda value: low <= value < high)


def above_up_to(low: float, high: float) -> Rule:
    """A number from `low`, exclusive, to `high`, inclusive."""
    return Rule(f"above {low}, at most {high}", lambda value: low < value <= high)


def one_of(*choices: str) -> Rule:
    """One of the listed words."""
    listed = ", ".join(f'"{choice}"' for choice in choices)
    return Rule(f"one of {listed}", lambda value: value in choices, choices)


def each_of(choices: tuple[str, ...]) -> Rule:
    """A list of at least one of the listed words, without repetition."""
    listed = ", ".join(f'"{choice}"' for choice in choices)
    return Rule(
        f"of one or more of {listed}, without repetition",
        lambda values: 0 < len(values) == len(set(values)) and set(values) <= set(choices),
    )


def one_of_or_matching(choices: tuple[str, ...], pattern: str, words: str) -> Rule:
    """One of the listed words, or text that matches `pattern`, described by `words`."""
    listed = one_of(*choices)
    matches = matching(pattern, words).accepts
    return Rule(
        f"{listed.expected}, {words}",
        lambda value: listed.accepts(value) or matches(value),
        choices,
    )


def matching(pattern: str, words: str) -> Rule:
    """Text that matches `pattern` as a whole, described by `words`."""
    return Rule(words, lambda value: re.fullmatch(pattern, value) is not None)


FOLDER_NAME = matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", "a folder's name: letters, digits, _ . -")

SEPARATOR = Rule(
    "text of one sign or more, a space or tab among them", lambda value: value != "", (), True
)
DELIMITER = Rule(
    r"one sign other than a quote, such as ; or | (\t is a tab)",
    lambda value: value == r"\t" or (len(value) == 1 and value not in "\"'\\\r\n\0"),
    (),
    True,
)
DISTINCT = Rule("without repetition", lambda values: len(set(values)) == len(values))
_CLASS_WEIGHT = r"[^=,]+=\s*[0-9]*\.?[0-9]+\s*"
CLASS_WEIGHTS = matching(
    rf"balanced|{_CLASS_WEIGHT}(,{_CLASS_WEIGHT})*",
    '"balanced", or weights such as "neg=1, pos=2.5"',
)


def _is_step_range(value: str) -> bool:
    match = re.fullmatch(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})", value)
    return match is not None and int(match[1]) <= int(match[2])


STEP_RANGE = Rule('the first and the last of some steps, such as "10-15"', _is_step_range)


def setting(default: Any, about: str, rule: Rule = ANYTHING) -> Any:
    """A dataclass field with its one-line description and its rule; `None` means unset."""
    return dataclasses.field(default=default, metadata={"about": about, "rule": rule})
