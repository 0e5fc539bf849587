"""Reads lines of a file or pipe as they arrive."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from kerasft.text_files import LONGEST_LINE_BYTES, check_start, decode_line

_CHUNK_BYTES = 1 << 16
_PATIENCE_SECONDS = 0.02  # in which a program that was waiting for output refills its pipe


def read_lines(descriptor: int, path: Path | None = None) -> Iterator[tuple[int, str] | None]:
    r"""Yields the lines of an open file, and `None` whenever the next one is not there yet.

    So the reader can predict before it waits for a person at a terminal or a slow program.

    Args:
        descriptor: Of a file, pipe or terminal with no other reader: `sys.stdin.fileno()`.
        path: Its name, for messages; `None`: stdin.

    Yields:
        The number of the line, from 1, and the line without its end (`\n` or `\r\n`).

    Raises:
        UserError: If it is no UTF-8 text, as `kerasft.text_files` says of data files.
    """
    pieces: list[bytes] = []  # of the incomplete line
    number, num_bytes = 1, 0
    while True:
        if not select.select([descriptor], [], [], _PATIENCE_SECONDS)[0]:
            yield None
        chunk = os.read(descriptor, _CHUNK_BYTES)
        if number == 1 and not pieces:
            check_start(chunk, path)
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            whole = b"".join([*pieces, line, b"\n"])
            yield number, decode_line(whole, path, number).removesuffix("\n").removesuffix("\r")
            number, num_bytes = number + 1, 0
            pieces.clear()
        pieces.append(rest)
        num_bytes += len(rest)
        if not chunk or num_bytes > LONGEST_LINE_BYTES:
            break
    if last := decode_line(b"".join(pieces), path, number):
        yield number, last.removesuffix("\r")


def stdin_path() -> Path | None:
    """Returns the file that stdin is redirected from; `None` for a pipe or terminal, or unknown."""
    descriptor = sys.stdin.fileno()
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return None
    path = Path(f"/proc/self/fd/{descriptor}")
    if not path.exists():  # removed meanwhile, or a system without /proc
        return None
    path = path.readlink()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
