"""JSON: lines of one object each, its keys the columns; or one document that holds the objects."""

from __future__ import annotations

import codecs
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasft.data.files.row import Row
from kerasft.errors import UserError
from kerasft.text_files import conversion, decode, open_bytes, read_lines

_SAMPLE_ROWS = 100
_LONGEST_DOCUMENT_BYTES = 256 * 2**20  # a document is read as a whole, and takes ten times that


class _Object(dict):
    """A JSON object that knows which keys it has twice; equal to what `json.loads` returns."""

    def __init__(self, pairs: list[tuple[str, Any]]):
        super().__init__(pairs)
        names = [name for name, _ in pairs] if len(self) < len(pairs) else []
        self.repeated = {name for name in names if names.count(name) > 1}


class JsonLinesFile:
    """One file of JSON lines, or one document: an array of objects, or `{"data": [...]}`.

    The keys of its first hundred objects are the columns; `has_column` looks further.

    Raises:
        UserError: If it is empty, or its first line is not an object.
    """

    def __init__(self, path: Path):
        self._path = path
        self._is_document = self._find_kind()
        sample = [values for _, values, _ in itertools.islice(self._read(), _SAMPLE_ROWS)]
        if not sample:
            raise UserError(f"{path} is empty.", expected="a JSON object a line")
        self.columns = tuple(dict.fromkeys(itertools.chain.from_iterable(sample)))
        self.text_columns = self.columns

    def has_column(self, name: str) -> bool:
        """Whether any object has a key; reads the file if the first ones do not have it."""
        if name not in self.columns and any(name in values for _, values, _ in self._read()):
            self.columns = (*self.columns, name)
        return name in self.columns

    def rows(self, names: Sequence[str]) -> Iterator[Row]:
        """Yields each line's number, from 1, and its values of `names`; `None` for missing keys.

        In a document the numbers are those of the objects.

        Raises:
            UserError: If a line is no object, or has one of the keys twice.
        """
        spelt = {json.dumps(name, ensure_ascii=is_ascii) for name in names for is_ascii in (0, 1)}
        for number, values, line in self._read():
            for name in spelt:
                if line.count(name) > 1:
                    values = json.loads(line, object_pairs_hook=_Object)
            twice = values.repeated.intersection(names) if type(values) is _Object else None
            if twice:
                raise UserError(
                    f"{self._path}:{number}: an object has a key twice.",
                    received=", ".join(sorted(twice)),
                    expected="each key that is read once in an object",
                )
            yield Row(self._path, number, tuple([values.get(name) for name in names]))

    def _read(self) -> Iterator[tuple[int, dict[str, Any], str]]:
        """Yields each object with its number, and the line that it is made of."""
        if self._is_document:
            for number, values in enumerate(self._read_document(), start=1):
                if not isinstance(values, dict):
                    raise self._fault(number, str(values), "not an object", "item")
                yield number, values, ""
            return
        for number, line in enumerate(read_lines(self._path), start=1):
            line = line.lstrip("\ufeff")  # of a file that was written behind another
            if not line or line.isspace():
                continue
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise self._fault(number, line, f"not JSON ({error})") from error
            if not isinstance(values, dict):
                raise self._fault(number, line, "not an object")
            yield number, values, line

    def _find_kind(self) -> bool:
        """Returns whether the file is one document, not a line for each object."""
        with open_bytes(self._path) as file:
            if file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
                return True
        lines = (line for line in read_lines(self._path) if not line.isspace())
        first, second = next(lines, ""), next(lines, "")
        try:
            value = json.loads(first)
        except (ValueError, RecursionError):
            return first.lstrip().startswith("{") and not second.lstrip().startswith("{")
        return not second and _find_list(value) is not None

    def _read_document(self) -> list[Any]:
        """Returns the items of an array, of an object that holds one, or the one object."""
        with open_bytes(self._path) as file:
            content = file.read(_LONGEST_DOCUMENT_BYTES + 1)
        if len(content) > _LONGEST_DOCUMENT_BYTES:
            raise UserError(
                f"{self._path}: one JSON document of more than {_LONGEST_DOCUMENT_BYTES:,} bytes.",
                expected="an object a line, which is read line by line",
                fix=conversion("jq -c '.[]'", self._path),
            )
        text = decode(content, self._path).lstrip("\ufeff")
        try:
            value = json.loads(text, object_pairs_hook=_Object)
        except (ValueError, RecursionError) as error:
            line, position = getattr(error, "lineno", 1), getattr(error, "pos", 0)
            raise self._fault(line, text[position:], f"not JSON ({error})") from error
        found = value if isinstance(value, list) else _find_list(value)
        return [value] if found is None else found

    def _fault(self, number: int, line: str, what: str, unit: str = "line") -> UserError:
        return UserError(
            f"{self._path}, {unit} {number}: {what}.",
            received=line.strip()[:60],
            expected='one object a line, such as {"text": "...", "label": "..."}',
        )


def _find_list(value: Any) -> list[dict[str, Any]] | None:
    """Returns the only list of objects that an object holds, as of `{"data": [{...}, ...]}`."""
    lists = [
        found
        for found in (value.values() if isinstance(value, dict) else ())
        if isinstance(found, list) and found and isinstance(found[0], dict)
    ]
    return lists[0] if len(lists) == 1 else None
