"""Checks texts, or pairs of texts, before they reach a model's graph."""

from __future__ import annotations

import json
from collections.abc import Sequence

from kerasft.errors import UserError, first_line

Texts = tuple[str, ...]  # (text,) or (text, text_pair)
_SHOWN = 60  # characters of an invalid value


def check_examples(
    texts: Sequence[str], text_pairs: Sequence[str] | None, *, has_pairs: bool
) -> list[str] | list[tuple[str, str]]:
    """Returns the texts of a call of `predict`, paired with their second texts if there are any.

    Raises `UserError` for a single string or non-texts, for two numbers of texts, and for pairs if
    the model reads single texts, or vice versa.
    """
    for name, several in (("texts", texts), ("text_pairs", text_pairs)):
        if isinstance(several, str | bytes):
            raise UserError(
                f"`{name}` must be several texts.",
                received=several[:_SHOWN],
                expected="a list of strings",
                fix="put a single text into a list.",
            )
    if text_pairs is not None and len(texts) != len(text_pairs):
        raise UserError(
            "Each text needs one text_pair.",
            received=f"{len(texts)} texts and {len(text_pairs)} text_pairs",
            expected="two lists of equal length",
        )
    examples = list(texts if text_pairs is None else zip(texts, text_pairs, strict=True))
    for number, example in enumerate(examples, start=1):
        check_example(example, number, has_pairs=has_pairs)
    return examples


def check_example(example: object, number: int, *, has_pairs: bool) -> Texts:
    """Returns the texts of an example; raises `UserError` as `check_examples`."""
    texts = example if isinstance(example, tuple) and len(example) == 2 else (example,)
    for text in texts:
        if not isinstance(text, str):
            raise UserError(
                f"Text number {number} is not a text.",
                received=type(text).__name__,
                expected="a string",
                fix="leave it out, or give an empty string.",
            )
    if has_pairs and len(texts) == 1:
        raise UserError(
            f"This model reads pairs of texts, and number {number} is a single text.",
            received=texts[0][:_SHOWN],
            expected="a text and a text_pair",
            fix="on the command line --pair TEXT TEXT_PAIR, in Python predict(texts, text_pairs).",
        )
    if len(texts) == 2 and not has_pairs:
        raise UserError(
            f"This model reads single texts, and number {number} is a pair.",
            received=texts[1][:_SHOWN],
            expected="a text without a text_pair",
            fix="leave text_pair out, or give a model that was trained on pairs.",
        )
    return texts


def parse_json_line(line: str, number: int, *, has_pairs: bool) -> str | tuple[str, str]:
    """Returns the example of a JSON object with `text` and, for pairs, `text_pair`.

    Other keys are ignored. Raises `UserError`, naming line `number`, for anything else.
    """
    names = ("text", "text_pair") if has_pairs else ("text",)
    fault = None
    try:
        found = json.loads(line)
        if not isinstance(found, dict):
            fault = "no JSON object"
        else:
            wrong = [name for name in names if not isinstance(found.get(name), str)]
            fault = f'no string "{wrong[0]}"' if wrong else None
    except (ValueError, RecursionError) as error:
        fault = f"no JSON ({first_line(error)})"
    if fault is not None:
        raise UserError(
            f"stdin, line {number}: {fault}.",
            received=line[:_SHOWN],
            expected=f"a line such as {json.dumps(dict.fromkeys(names, '...'))}",
        )
    if not has_pairs and found.get("text_pair") is not None:
        raise UserError(
            f"This model reads single texts, and line {number} has a text_pair.",
            received=line[:_SHOWN],
            fix="leave text_pair out, or give a model that was trained on pairs.",
        )
    texts = tuple(_whole_characters(found[name]) for name in names)
    return texts if has_pairs else texts[0]


def _whole_characters(text: str) -> str:
    r"""Replaces lone surrogates, which JSON allows (`"\ud83d"`) but which could not be printed."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
