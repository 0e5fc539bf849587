"""A folder of text files by class: `reviews/good/17.txt` is a text with the label `good`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from kerasft.data.files.paths import check_name, list_folder
from kerasft.data.files.row import Row
from kerasft.errors import UserError
from kerasft.text_files import decode, open_bytes

_SUFFIXES = (".txt", ".txt.gz")


class ClassFolder:
    """A folder with one sub-folder for each class; anything else is a `UserError`.

    Hidden files and folders, and `__MACOSX`, are passed over.
    """

    columns = text_columns = ("text", "label")

    def __init__(self, path: Path):
        entries = list_folder(path)
        self._classes = [entry for entry in entries if entry.is_dir()]
        for folder in self._classes:
            check_name(folder, "class")
        self.notes = [note for folder in self._classes for note in _describe_ignored(folder)]
        if not any(True for _ in self.files()):
            tables = [entry.name for entry in entries if entry not in self._classes]
            raise UserError(
                f"{path} is a folder without text files by class.",
                received=", ".join(tables[:5]) or "nothing in it",
                expected=f"{path.name}/<class>/<any name>.txt",
                fix=f'for tables in a folder, give a glob in quotes: "{path}/*.csv".',
            )

    def files(self) -> Iterator[Path]:
        """Yields the text files, class by class, sorted by name."""
        for folder in self._classes:
            yield from filter(_is_text, list_folder(folder))

    def rows(self, names: Sequence[str]) -> Iterator[Row]:
        """Yields each file, no row number, and its text and class in the order of `names`."""
        for path in self.files():
            with open_bytes(path) as file:
                values = {"text": decode(file.read(), path), "label": path.parent.name}
            yield Row(path, None, tuple([values[name] for name in names]))


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(_SUFFIXES)


def _describe_ignored(folder: Path) -> Iterator[str]:
    """Yields a log line if a class has files that are not read, or no others."""
    entries = list_folder(folder)
    others = [path.name for path in entries if not _is_text(path)]
    if others:
        first = others[0].encode(errors="surrogateescape").decode(errors="replace")
        yield (
            f"{folder}: {len(others):,} not read, being no .txt files "
            f"({first}{', ...' if len(others) > 1 else ''})."
        )
    if len(others) == len(entries):
        yield f"{folder}: no text in it, so it is no class."
