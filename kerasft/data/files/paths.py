"""Paths of the user's files: local, or any that TensorFlow reads.

`gs://bucket/reviews.csv`, or any other scheme that `tf.io.gfile` knows, is read like a local file.
(`etils.epath` supports only four schemes.)
"""

from __future__ import annotations

import contextlib
import functools
import glob
import io
import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kerasft.errors import UserError, first_line

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BUFFER_BYTES = 2**20  # bytes read at a time: each read may cross a network


def to_path(name: str) -> Path | RemotePath:
    """Returns the path of a name: remote if it begins with a scheme."""
    return RemotePath(name) if _REMOTE.match(name) else Path(name).expanduser()


def find_paths(pattern: str) -> list[Path | RemotePath]:
    """Returns the files that match a path or glob, sorted; possibly none.

    Raises:
        UserError: TensorFlow cannot read that location.
    """
    path = to_path(pattern)
    if isinstance(path, RemotePath):
        return path.find()
    if os.path.exists(path):  # unlike Path.exists, false for names that no file can have
        return [path]
    if not glob.has_magic(pattern):
        return []
    return [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]


@functools.total_ordering
class RemotePath:
    """The part of `pathlib.Path` that reading needs, for a path with a scheme."""

    def __init__(self, name: str):
        self._name = name.rstrip("/")
        self._inside = PurePosixPath(self._name.partition("://")[2])

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"RemotePath({self._name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __lt__(self, other: RemotePath) -> bool:
        return str(self) < str(other)

    def __hash__(self) -> int:
        return hash(self._name)

    @property
    def name(self) -> str:
        """The last part."""
        return self._inside.name

    @property
    def stem(self) -> str:
        """The last part without its suffix."""
        return self._inside.stem

    @property
    def suffix(self) -> str:
        """The name from its last dot."""
        return self._inside.suffix

    @property
    def parent(self) -> RemotePath:
        """The parent folder."""
        return RemotePath(posixpath.dirname(self._name))

    def resolve(self) -> RemotePath:
        """Returns itself: there are no links to follow."""
        return self

    def is_dir(self) -> bool:
        """Whether it is a folder."""
        with _telling(self):
            return _gfile().isdir(self._name)

    def is_file(self) -> bool:
        """Whether it exists and is not a folder."""
        with _telling(self):
            return _gfile().exists(self._name) and not self.is_dir()

    def iterdir(self) -> Iterator[RemotePath]:
        """Yields the folder's entries."""
        with _telling(self):
            names = _gfile().listdir(self._name)
        yield from (RemotePath(f"{self._name}/{name}") for name in names)

    def find(self) -> list[RemotePath]:
        """Returns itself if it exists; else the matches of the glob, sorted."""
        with _telling(self):
            if _gfile().exists(self._name):
                return [self]
            found = _gfile().glob(self._name) if glob.has_magic(self._name) else []
        return sorted(map(RemotePath, found))

    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens the file for reading its bytes; another mode is a `ValueError`."""
        if mode != "rb":
            raise ValueError(f"A remote file is only read. Received: mode={mode!r}.")
        return io.BufferedReader(_RemoteBytes(self), _BUFFER_BYTES)


class _RemoteBytes(io.RawIOBase):
    """A file of `tf.io.gfile` as a Python file; its errors are `OSError`."""

    def __init__(self, path: RemotePath):
        super().__init__()
        self._file = _gfile().GFile(str(path), "rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        with _as_os_error():
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def log(self) -> int:
        with _as_os_error():
            return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with _as_os_error():
            self._file.seek(offset, whence)
            return self._file.tell()

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _gfile():
    import tensorflow as tf

    return tf.io.gfile


@contextlib.contextmanager
def _as_os_error() -> Iterator[None]:
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        raise OSError(first_line(error) or type(error).__name__) from error


@contextlib.contextmanager
def _telling(path: RemotePath) -> Iterator[None]:
    try:
        with _as_os_error():
            yield
    except OSError as error:
        raise UserError(
            f"{path} cannot be looked for: {error}",
            expected="a path that tf.io.gfile reads, such as gs://bucket/reviews.csv",
        ) from error
