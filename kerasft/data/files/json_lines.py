"""JSON lines: one object a line, its keys the columns."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasft.errors import UserError
from kerasft.text_files import read_lines

_SAMPLE_ROWS = 100


class JsonLinesFile:
    """One file of JSON lines. The keys of its first hundred objects are the columns.

    Raises:
        UserError: If it is empty, or its first line is not an object.
    """

    def __init__(self, path: Path):
        self._path = path
        sample = [values for _, values in itertools.islice(self._read(), _SAMPLE_ROWS)]
        if not sample:
            raise UserError(f"{path} is empty.", expected="a JSON object a line")
        self.columns = tuple(dict.fromkeys(itertools.chain.from_iterable(sample)))

    def rows(self) -> Iterator[tuple[Path, int, tuple[Any, ...]]]:
        """Yields the file, each line's number, from 1, and its values; `None` for missing keys."""
        for number, values in self._read():
            yield self._path, number, tuple(values.get(name) for name in self.columns)

    def _read(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in enumerate(read_lines(self._path), start=1):
            if not line.strip():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self._fault(number, line, f"not JSON ({error})") from error
            if not isinstance(values, dict):
                raise self._fault(number, line, "not an object")
            yield number, values

    def _fault(self, number: int, line: str, what: str) -> UserError:
        return UserError(
            f"{self._path}, line {number}: {what}.",
            received=line.strip()[:60],
            expected='one object a line, such as {"text": "...", "label": "..."}',
        )
