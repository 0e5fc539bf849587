"""Turns bytes into text: UTF-8 (RFC 3629), gzipped (RFC 1952) or not.

Anything else is recognized by its first bytes and refused, with the command that converts it. Used
for data files and for stdin alike; knows bytes and lines, and no formats of tables.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import os
import re
import shlex
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from kerasft.errors import UserError, first_line

LONGEST_LINE_BYTES = 64 * 2**20  # a file without line ends must not fill the memory
_GZIP = b"\x1f\x8b"
_SPREADSHEETS = (".xls", ".xlsx", ".xlsm", ".xlsb", ".ods", ".numbers")
_SAVE_AS_CSV = "open it in the program that wrote it, and save the sheet as CSV in UTF-8."
_PACKED_SUFFIX = re.compile(r"\.(gz|bz2|xz|zst|lz4)$", re.IGNORECASE)
_C1_BYTES = re.compile(rb"[\x80-\x9f]")  # control characters in Latin-1, quotes in Windows-1252
_UNDEFINED_BYTES = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")  # in Windows-1252


class _Format(NamedTuple):
    """What a file is if it begins with `magic`.

    `command` reads it from stdin and writes text; else `advice` says what to do with `{file}`.
    """

    magic: bytes
    name: str
    command: str | None = None
    advice: str = "export the data as text in UTF-8."


_UNPACK = "unpack it, and give the files in it: "
_FORMATS = (
    _Format(codecs.BOM_UTF32_LE, "in UTF-32", "iconv -f UTF-32 -t UTF-8"),  # begins as UTF-16
    _Format(codecs.BOM_UTF32_BE, "in UTF-32", "iconv -f UTF-32 -t UTF-8"),
    _Format(codecs.BOM_UTF16_LE, "in UTF-16", "iconv -f UTF-16 -t UTF-8"),
    _Format(codecs.BOM_UTF16_BE, "in UTF-16", "iconv -f UTF-16 -t UTF-8"),
    _Format(_GZIP, "compressed by gzip", "zcat"),
    _Format(b"BZh", "compressed by bzip2", "bzcat"),
    _Format(b"\xfd7zXZ\0", "compressed by xz", "xzcat"),
    _Format(b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstdcat"),
    _Format(b"\x04\x22\x4d\x18", "compressed by lz4", "lz4cat"),
    _Format(b"PK\x03\x04", "a zip archive", advice=_UNPACK + "unzip {file} -d unpacked"),
    _Format(b"7z\xbc\xaf\x27\x1c", "a 7z archive", advice=_UNPACK + "7z x -ounpacked {file}"),
    _Format(b"Rar!\x1a\x07", "a rar archive", advice=_UNPACK + "unrar x {file} unpacked/"),
    _Format(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a file of Excel or Word", advice=_SAVE_AS_CSV),
    _Format(b"PAR1\x15", "a Parquet file", advice="if it is data to train on: --format parquet"),
    _Format(b"ARROW1\0\0", "an Arrow (Feather) file", advice="save it as Parquet."),
    _Format(b"SQLite format 3\0", "an SQLite database"),
    _Format(b"%PDF-", "a PDF document"),
)
_BZIP2_BLOCK = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")  # a text may begin with BZh
_ENDIAN = (("UTF-32LE", 4, 0), ("UTF-32BE", 4, 3), ("UTF-16LE", 2, 0), ("UTF-16BE", 2, 1))


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[BinaryIO]:
    """Opens a file for reading, unzipped if its first bytes are those of gzip.

    Raises:
        UserError: If it cannot be read, or its gzip content is cut or damaged.
    """
    try:
        with path.open("rb") as file:
            if hasattr(file, "peek"):  # a pipe cannot seek
                start = file.peek(len(_GZIP))[: len(_GZIP)]
            else:
                start = file.read(len(_GZIP))
                file.seek(0)
            if start != _GZIP:
                yield file
                return
            with gzip.open(file, "rb") as unzipped:
                yield unzipped
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(
            f"{path} cannot be unzipped: {first_line(error)}",
            expected="a whole gzip file",
            fix="copy it again.",
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> UserError:
    """Returns the error for a file or folder that the system does not let read."""
    return UserError(f"{path} cannot be read: {error.strerror or error}.")


def read_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a UTF-8 file with their ends, without a byte order mark.

    Lines end with LF or CR LF.

    Raises:
        UserError: As `decode_line`.
    """
    named = path if path.is_file() else None  # a pipe, which advice could not read again
    with open_bytes(path) as file:
        number = 0
        while line := file.readline(LONGEST_LINE_BYTES + 1):
            number += 1
            yield decode_line(line, named, number)


def decode_line(line: bytes, path: Path | None, number: int) -> str:
    """Decodes a line with its end; `number` is from 1, `path` as for `decode`.

    Raises:
        UserError: Naming the line, if it is not UTF-8, holds a NUL byte or more than 64 MiB; if
            the lines end with CR alone.
    """
    if number == 1 and b"\r" in line.rstrip(b"\r\n") and not line.endswith(b"\n"):
        raise UserError(
            f"{path or 'stdin'}: its lines end with a carriage return (CR) alone.",
            expected="lines that end with LF or CR LF",
            fix=conversion(r"tr '\r' '\n'", path),
        )
    if len(line) > LONGEST_LINE_BYTES:
        raise UserError(
            f"{path or 'stdin'}, line {number}: longer than {LONGEST_LINE_BYTES:,} bytes.",
            expected="a text file of lines that end with a line feed",
        )
    return decode(line, path, number)


def decode(content: bytes, path: Path | None, number: int | None = None) -> str:
    """Decodes UTF-8, without a byte order mark at the beginning.

    Args:
        content: One line, or a whole file.
        path: The file, for messages; `None` for stdin.
        number: The line's number, from 1; `None` for a whole file.

    Raises:
        UserError: If it is no UTF-8, or holds a NUL byte. Names the encoding or format as far as
            it can be recognized, and the command that converts it.
    """
    is_start = number in (None, 1)
    if is_start:
        check_start(content, path)
    if b"\0" in content:
        raise _nul_byte(content, path, number)
    try:
        return content.decode("utf-8-sig" if is_start else "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{_place(path, number)}: not UTF-8.",
            received=content[max(0, error.start - 10) : error.start + 5],
            expected="UTF-8",
            fix=_other_encoding(content, path),
        ) from error


def check_start(start: bytes, path: Path | None) -> None:
    """Checks that content does not begin like another encoding, or a compressed or binary file.

    Args:
        start: The first bytes: the first line, or block.
        path: The file, for messages; `None` for stdin.

    Raises:
        UserError: Saying what it is, and how to convert it.
    """
    found = next((known for known in _FORMATS if start.startswith(known.magic)), None)
    if found is None or (found.magic == b"BZh" and not _BZIP2_BLOCK.match(start)):
        return
    name, fix = found.name, found.advice.format(file="FILE" if path is None else quote_path(path))
    if found.command:
        fix = conversion(found.command, path)
    elif (
        (path is not None and path.suffix.lower() in _SPREADSHEETS)
        or b"[Content_Types].xml" in start  # the first entry of one
        or b"opendocument.spreadsheet" in start
    ):
        name, fix = "a spreadsheet", _SAVE_AS_CSV
    raise UserError(f"{path or 'stdin'} is {name}.", expected="text in UTF-8", fix=fix)


def quote_path(path: Path) -> str:
    """Returns a path as one word of a shell command, whatever characters it has.

    A remote file, which commands cannot read, is named as its copy in the current folder.
    """
    name = str(path) if isinstance(path, Path) else path.name
    if name.startswith("-"):
        name = f"./{name}"
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8: bash and zsh read \351
        encoded = os.fsencode(name)
        signs = (f"\\{b:03o}" if b > 126 or b in b"'\\" else chr(b) for b in encoded)
        return f"$'{''.join(signs)}'"
    return shlex.quote(name)


def conversion(command: str, path: Path | None) -> str:
    """Returns the shell line in which `command` makes readable text of a file, or of stdin.

    The file is renamed to `<name>.original` then: the folder or glob that holds it would read it.
    """
    if path is None:
        return f"{command} < FILE | kerasft ..."
    is_local = isinstance(path, Path)
    local, first = (path, "") if is_local else (Path(path.name), "copy it here, then ")
    with path.open("rb") as file:
        is_gzipped = file.read(len(_GZIP)) == _GZIP and command != "zcat"
    source = quote_path(local)
    read = f"zcat < {source} | {command}" if is_gzipped else f"{command} < {source}"
    converted = local.with_name(f"converted-{_PACKED_SUFFIX.sub('', local.name)}")
    original = local.with_name(f"{local.name}.original")
    return f"{first}{read} > {quote_path(converted)} && mv {source} {quote_path(original)}"


def _place(path: Path | None, number: int | None) -> str:
    return f"{path or 'stdin'}{f', line {number}' if number else ''}"


def _nul_byte(content: bytes, path: Path | None, number: int | None) -> UserError:
    """Returns the error for content with NUL bytes; ASCII in UTF-16 and UTF-32 is full of them."""
    content = content[: 4 * (len(content) // 4) or None]
    for encoding, width, at in _ENDIAN:
        units = len(content) // width
        if units > 1 and content.count(0) == units * (width - 1) and 0 not in content[at::width]:
            return UserError(
                f"{path or 'stdin'} is in {encoding}.",
                expected="text in UTF-8",
                fix=conversion(f"iconv -f {encoding} -t UTF-8", path),
            )
    return UserError(
        f"{_place(path, number)}: a NUL byte.",
        expected="text in UTF-8; this may be a binary file",
        fix="export the data again as text in UTF-8.",
    )


def _other_encoding(content: bytes, path: Path | None) -> str:
    """Returns what to do with content that is no UTF-8; looks through the whole file."""
    encoding = "LATIN1" if path else "WINDOWS-1252"  # what it has more than Latin-1 may follow
    with contextlib.nullcontext() if path is None else open_bytes(path) as file:
        for line in iter(lambda: file.readline(LONGEST_LINE_BYTES), b"") if file else [content]:
            try:
                if not line.isascii() and line.decode():
                    return "leave the damaged characters out: " + conversion(
                        "iconv -c -f UTF-8 -t UTF-8", path
                    )
            except UnicodeDecodeError:
                if _UNDEFINED_BYTES.search(line):
                    encoding = "ENCODING"
                elif _C1_BYTES.search(line) and encoding == "LATIN1":
                    encoding = "WINDOWS-1252"
    guess = "find out its ENCODING" if encoding == "ENCODING" else f"if it is {encoding}"
    return f"{guess}: " + conversion(f"iconv -f {encoding} -t UTF-8", path)
