"""Reads text files line by line, plain or gzipped, and reports undecodable ones.

Handles bytes only; the formats interpret the lines.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kerasft.errors import UserError, first_line

GZIP_SUFFIX = ".gz"
LONGEST_LINE_BYTES = 64 * 2**20  # a file without line ends must not fill the memory
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def is_gzipped(path: Path) -> bool:
    """Whether a file is gzipped, by its name."""
    return path.suffix.lower() == GZIP_SUFFIX


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading, unzipped if its name ends in `.gz`.

    Raises:
        UserError: If it cannot be read, or is not gzip though its name says so.
    """
    try:
        with path.open("rb") as file:
            if not is_gzipped(path):
                yield file
                return
            with gzip.open(file, "rb") as unzipped:
                yield unzipped
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be unzipped: {first_line(error)}",
            expected="a whole gzip file",
            fix="copy it again, or take .gz off its name if it is not compressed.",
        ) from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from error


def read_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a UTF-8 file with their ends, without a byte order mark.

    Raises:
        UserError: Naming the line, if it is not UTF-8, holds a NUL byte or more than 64 MiB.
    """
    with open_bytes(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE_BYTES + 1):
            number += 1
            if len(line) > LONGEST_LINE_BYTES:
                raise UserError(
                    f"{path}, line {number}: longer than {LONGEST_LINE_BYTES:,} bytes.",
                    expected="a text file of lines that end with a line feed",
                )
            yield decode(line, path, number)


def decode(content: bytes, path: Path, number: int | None = None) -> str:
    """Decodes a line (with its `number`, from 1) or a whole file (`None`).

    Raises:
        UserError: For invalid UTF-8, and for NUL bytes.
    """
    place = f"{path}, line {number}" if number else str(path)
    if number in (None, 1) and content.startswith(_UTF16_MARKS):
        raise UserError(
            f"{path} is UTF-16.",
            expected="UTF-8",
            fix=f"iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name}",
        )
    if b"\0" in content:
        raise UserError(
            f"{place}: a NUL byte.",
            expected="text in UTF-8; this may be a binary file, or UTF-16",
            fix="export the file again as UTF-8.",
        )
    try:
        text = content.decode("utf-8-sig" if number in (None, 1) else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{place}: not UTF-8.",
            received=content[max(0, error.start - 10) : error.start + 5],
            expected="UTF-8",
            fix=f"if the file is Latin-1: iconv -f LATIN1 -t UTF-8 {path.name} > utf8-{path.name}",
        ) from error
    return text
