"""Paths of the user's files: local, or at any URI that pyarrow reads.

`gs://`, `s3://`, `abfs://` and `hdfs://` are read like local files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fnmatch
import functools
import glob
import io
import operator
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal

from kerasft.errors import UserError, first_line
from kerasft.text_files import quote_path, unreadable

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+://[^/]*)/*(.*)", re.DOTALL)  # root, path
_GCS_OPTIONS = "?retry_limit_seconds=20"  # else a wrong name is looked for during 15 minutes
_BUFFER_BYTES = 2**20  # bytes read at a time: each read may cross a network


def to_path(name: str) -> Path | RemotePath:
    """Returns the path of a name: remote if it begins with a scheme."""
    found = _URI.fullmatch(name)
    return RemotePath(found[1], PurePosixPath(found[2])) if found else Path(name).expanduser()


def find_paths(pattern: str) -> list[Path | RemotePath]:
    """Returns the files that match a path or glob, sorted; possibly none.

    Raises:
        UserError: If the location cannot be read, or a file is none that can be read twice.
    """
    path = to_path(pattern)
    if isinstance(path, RemotePath):
        return path.find()
    if os.path.exists(path):  # unlike Path.exists, false for names that no file can have
        found = [path]
    else:
        matches = glob.glob(str(path), recursive=True) if glob.has_magic(pattern) else ()
        found = [*map(Path, sorted(matches))]
    for path in found:
        check_name(path, "file")
        if not (path.is_file() or path.is_dir()):
            raise UserError(
                f"{path} is a pipe or a device: files are read more than once.",
                expected="a regular file",
                fix="write it to a file first; a gzipped one is read as it is.",
            )
    return found


def list_folder(path: Path | RemotePath) -> list[Path | RemotePath]:
    """Returns the entries of a folder, sorted, without hidden ones and those of archivers."""
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise unreadable(path, error) from error
    return [entry for entry in entries if not entry.name.startswith((".", "__MACOSX"))]


def check_name(path: Path | RemotePath, what: str) -> None:
    """Raises a `UserError` if a path is no UTF-8: reports and recipes could not name it."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"The name of a {what} is no UTF-8.",
            received=os.fsencode(path),
            expected="names in UTF-8",
            fix=f"mv {quote_path(path)} NEW_NAME",
        ) from error


@dataclasses.dataclass(frozen=True, order=True)
class RemotePath:
    """The part of `pathlib.Path` that reading needs, for a URI: `gs://bucket`, and what follows."""

    root: str
    inside: PurePosixPath

    def __str__(self) -> str:
        return f"{self.root}/{self.inside}".removesuffix("/.")

    name, stem, suffix, parts = (
        property(operator.attrgetter(f"inside.{part}"))
        for part in ("name", "stem", "suffix", "parts")
    )

    @property
    def parent(self) -> RemotePath:
        """The parent folder."""
        return self._at(self.inside.parent)

    def resolve(self) -> RemotePath:
        """Returns itself: there are no links to follow."""
        return self

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        return self._info().type.name == "Directory"

    def is_file(self) -> bool:
        """Whether it exists and is not a folder."""
        return self._info().type.name == "File"

    def iterdir(self) -> Iterator[RemotePath]:
        """Yields the folder's entries."""
        from pyarrow.fs import FileSelector

        with _telling(self):
            files, path = self._locate()
            found = files.get_file_info(FileSelector(path))
        yield from (self._at(self.inside / info.base_name) for info in found)

    def find(self) -> list[RemotePath]:
        """Returns itself if it exists; else the matches of the glob, sorted."""
        if self.is_file() or self.is_dir():
            return [self]
        if not glob.has_magic(str(self)):
            return []
        found = [self._at(PurePosixPath())]
        for part in self.parts:
            if glob.has_magic(part):
                entries = (entry for path in found if path.is_dir() for entry in path.iterdir())
                found = [entry for entry in entries if fnmatch.fnmatchcase(entry.name, part)]
            else:
                found = [self._at(path.inside / part) for path in found]
        return sorted(path for path in found if path.is_file() or path.is_dir())

    def open(self, mode: Literal["rb"]) -> BinaryIO:
        """Opens the file for reading its bytes."""
        files, path = self._locate()
        return io.BufferedReader(files.open_input_file(path), _BUFFER_BYTES)

    def _at(self, inside: PurePosixPath) -> RemotePath:
        return dataclasses.replace(self, inside=inside)

    def _info(self) -> Any:
        with _telling(self):
            files, path = self._locate()
            return files.get_file_info(path)

    def _locate(self) -> tuple[Any, str]:
        """Returns the pyarrow file system, and the path in it."""
        files, root = _open_file_system(self.root)
        return files, f"{root.rstrip('/')}/{self.inside}"


@functools.lru_cache(maxsize=8)
def _open_file_system(root: str) -> tuple[Any, str]:
    from pyarrow.fs import FileSystem

    return FileSystem.from_uri(f"{root}/{_GCS_OPTIONS if root.startswith('gs:') else ''}")


@contextlib.contextmanager
def _telling(path: RemotePath) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(
            f"{path} cannot be looked for: {first_line(error)}",
            expected="a URI that pyarrow.fs reads, such as gs://bucket/reviews.csv or s3://...",
        ) from error
