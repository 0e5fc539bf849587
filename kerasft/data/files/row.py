"""One row of a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One row: its file, its number there from 1 (of a text file, the line), its values.

    In a folder by class each file is one row, without a number.
    """

    file: Path
    number: int | None
    values: tuple[Any, ...]

    @property
    def place(self) -> str:
        """Its location, for messages; bytes of a name that are no UTF-8 are replaced."""
        if self.number is not None:
            return f"{self.file.name}:{self.number}"
        name = f"{self.file.parent.name}/{self.file.name}"
        return name.encode(errors="surrogateescape").decode(errors="replace")
