"""A folder of text files by class: `reviews/good/17.txt` is a text with the label `good`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kerasft.errors import UserError
from kerasft.text_files import decode, open_bytes

_SUFFIXES = (".txt", ".txt.gz")


class ClassFolder:
    """A folder with one sub-folder for each class; anything else is a `UserError`."""

    columns = ("text", "label")

    def __init__(self, path: Path):
        self._path = path
        self._classes = sorted(
            entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
        )
        self.notes = tuple(self._find_ignored())
        if not any(True for _ in self.files()):
            tables = sorted(entry.name for entry in path.iterdir() if entry.is_file())
            raise UserError(
                f"{path} is a folder without text files by class.",
                received=", ".join(tables[:5]) or "nothing in it",
                expected=f"{path.name}/<class>/<any name>.txt",
                fix=f'for tables in a folder, give a glob in quotes: "{path}/*.csv".',
            )

    def files(self) -> Iterator[Path]:
        """Yields the text files, class by class, sorted by name."""
        for folder in self._classes:
            try:
                found = sorted(folder.iterdir())
            except OSError as error:
                raise UserError(f"{folder} cannot be read: {error.strerror or error}.") from error
            yield from (file for file in found if file.name.lower().endswith(_SUFFIXES))

    def rows(self) -> Iterator[tuple[Path, None, tuple[str, str]]]:
        """Yields each file, no row number, its text and its class."""
        for path in self.files():
            with open_bytes(path) as file:
                yield path, None, (decode(file.read(), path), path.parent.name)

    def _find_ignored(self) -> Iterator[str]:
        """Yields a log line for each class with files that are not read, or with none."""
        for folder in self._classes:
            others = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
            texts = [name for name in others if name.lower().endswith(_SUFFIXES)]
            if len(texts) < len(others):
                first = min(set(others) - set(texts))
                yield (
                    f"{folder}: {len(others) - len(texts):,} not read, being no .txt files "
                    f"({first}{', ...' if len(others) - len(texts) > 1 else ''})."
                )
            if not texts:
                yield f"{folder}: no text in it, so it is no class."
