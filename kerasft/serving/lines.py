"""Reads lines of a file or pipe as they arrive."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16
_PATIENCE_SECONDS = 0.02  # in which a program that was waiting for output refills its pipe


def read_lines(descriptor: int) -> Iterator[str | None]:
    r"""Yields the lines of an open file, and `None` whenever the next one is not there yet.

    So the reader can predict before it waits for a person at a terminal or a slow program.

    Args:
        descriptor: Of a file, pipe or terminal with no other reader: `sys.stdin.fileno()`.

    Yields:
        Lines without their ends (`\n` or `\r\n`). Invalid UTF-8 becomes U+FFFD.
    """
    pieces: list[bytes] = []  # of the incomplete line
    while True:
        if not select.select([descriptor], [], [], _PATIENCE_SECONDS)[0]:
            yield None
        chunk = os.read(descriptor, _CHUNK_BYTES)
        if not chunk:
            break
        *ended, rest = chunk.split(b"\n")
        for line in ended:
            yield _decode(b"".join([*pieces, line]))
            pieces.clear()
        pieces.append(rest)
    last = b"".join(pieces)
    if last:
        yield _decode(last)


def _decode(line: bytes) -> str:
    return line.removesuffix(b"\r").decode("utf-8", errors="replace")
