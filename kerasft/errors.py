"""The error for user mistakes: received, expected, fix; exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in a recipe, an argument or the data, with a message that helps to fix it.

    The command line prints the message without a traceback and exits with code 2.

    Args:
        what: One sentence: what is wrong, naming the file, key or row.
        received: The value found, shown as given; left out of the message when `None`.
        expected: What would have been right.
        fix: What to do, ideally a command.
    """

    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        received: object = None,
        expected: str | None = None,
        fix: str | None = None,
    ):
        parts = [what]
        if received is not None:
            parts.append(f"Received: {received!r}.")
        if expected is not None:
            parts.append(f"Expected: {expected}.")
        if fix is not None:
            parts.append(f"Fix: {fix}")
        super().__init__(" ".join(parts))


def changed_while_read(where: object, split: str) -> UserError:
    """Returns the error for data that changed between two reads by one command."""
    return UserError(
        f"The data of {split} changed while it was read: {where}.",
        expected="files that nothing writes to while they are read",
        fix="run the command again when they are complete.",
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """Returns ` Did you mean "x"?` for the known name closest to `name`, or an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{matches[0]}"?' if matches else ""


def first_line(error: Exception) -> str:
    """Returns the first line of an error's message, or its type's name if it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
