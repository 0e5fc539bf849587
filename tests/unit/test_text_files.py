"""Bytes that are UTF-8 text, and what is said of others: following the fix gives the text."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import subprocess
from pathlib import Path

import pytest

from kerasft import text_files
from kerasft.errors import UserError
from kerasft.text_files import decode, read_lines

TEXT = "text,label\nit’s a café,pos\n"
LATIN = "text,label\na café,pos\nthé,neg\n"
ASCII = "text,label\na hut,pos\n"


@pytest.mark.parametrize("packed", [TEXT.encode(), gzip.compress(TEXT.encode(), mtime=0)])
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])  # the content counts
def test_utf8_is_read_gzipped_or_not(tmp_path, name, packed):
    (tmp_path / name).write_bytes(packed)
    assert "".join(read_lines(tmp_path / name)) == TEXT
    (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert "".join(read_lines(tmp_path / name)) == TEXT


CONVERTED = [
    ("windows", TEXT.encode("cp1252"), TEXT, r"line 2: not UTF-8.*if it is WINDOWS-1252: "),
    ("windows later", LATIN.encode("latin1") + b"it\x92s,neg\n", LATIN + "it’s,neg\n", "WINDOWS"),
    ("latin", LATIN.encode("latin1"), LATIN, r"line 2: not UTF-8.*if it is LATIN1: "),
    ("16", TEXT.encode("utf-16"), TEXT, "is in UTF-16. "),
    ("16-be", b"\xfe\xff" + TEXT.encode("utf-16-be"), TEXT, "is in UTF-16. "),
    ("16-le bare", ASCII.encode("utf-16-le"), ASCII, "is in UTF-16LE"),
    ("16-be bare", ASCII.encode("utf-16-be"), ASCII, "is in UTF-16BE"),
    ("32", TEXT.encode("utf-32"), TEXT, "is in UTF-32. "),
    ("32-be bare", ASCII.encode("utf-32-be"), ASCII, "is in UTF-32BE"),
    ("bzip2", bz2.compress(TEXT.encode()), TEXT, "compressed by bzip2"),
    ("xz", lzma.compress(TEXT.encode()), TEXT, "compressed by xz"),
    ("cr", TEXT.replace("\n", "\r").encode(), TEXT, r"carriage return \(CR\) alone"),
    ("damaged", TEXT.encode() + b"a\xff\n", TEXT + "a\n", r"line 3: .*leave the damaged"),
]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(("content", "text", "message"), [c[1:] for c in CONVERTED])
def test_following_the_fix_gives_the_text(tmp_path, content, text, message, pack):
    path = tmp_path / "it's $5" / "-a b.csv"
    path.parent.mkdir()
    path.write_bytes(pack(content))
    follow(path, text, message)


@pytest.mark.parametrize("name", ["-a.csv", b"caf\xe9/'\xe9.csv", "a.csv.gz"])
def test_the_fix_names_any_path(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = Path(os.fsdecode(name))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(gzip.compress(TEXT.encode())))
    follow(path, TEXT, "is compressed by gzip")
    path.write_bytes(gzip.compress(LATIN.encode("latin1")))
    follow(path, LATIN, "if it is LATIN1")


def follow(path, text, message):
    """Reads a file, follows the error's fix, and reads what that made."""
    with pytest.raises(UserError, match=message) as error:
        list(read_lines(path))
    content = path.read_bytes()
    command = re.search(r"(?:iconv|bzcat|xzcat|zcat|tr) .*$", str(error.value)).group()
    subprocess.run(["bash", "-c", command], check=True)
    made = path.with_name(f"converted-{path.name.removesuffix('.gz')}")
    assert "".join(read_lines(made)) == text
    assert path.with_name(f"{path.name}.original").read_bytes() == content
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x1f\x8b\x08", r"stdin is compressed by gzip.*Fix: zcat < FILE \| kerasft"),
        (b"\xff\xfea\0", r"stdin is in UTF-16.*iconv -f UTF-16 -t UTF-8 < FILE \| kerasft"),
        (b"caf\xe9", r"stdin, line 1: not UTF-8.*iconv -f WINDOWS-1252 -t UTF-8 < FILE \|"),
        (b"\x82\x81", r"find out its ENCODING: iconv -f ENCODING"),
        (b"PK\x03\x04...", r"is a zip archive.*unzip FILE -d unpacked"),
        (b"PK\x03\x04....[Content_Types].xml", "is a spreadsheet.*as CSV in UTF-8"),
        (b"\x28\xb5\x2f\xfd", "compressed by zstd.*zstdcat"),
        (b"PAR1\x15", "a Parquet file.*--format parquet"),
        (b"a text\0 of bytes", "stdin, line 1: a NUL byte.*binary"),
    ],
)
def test_stdin_that_is_no_text_is_told(content, message):
    with pytest.raises(UserError, match=message):
        decode(content, None, 1)


@pytest.mark.parametrize("text", ["BZh is a name", "PAR1 is another", "PK,label", "%PD", "7z"])
def test_a_text_may_begin_like_another_format(text):
    assert decode(text.encode(), None, 1) == text


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a b.zip", b"PK\x03\x04", r"unzip '/.*/a b\.zip' -d unpacked"),
        ("a.xlsx", b"PK\x03\x04", r"a\.xlsx is a spreadsheet"),
        (
            "a.csv.gz",
            gzip.compress(TEXT.encode() * 50, mtime=0)[:-20],
            r"unzipped.*a whole gzip file",
        ),
        ("a.csv", b"text,label\n" + b"x" * 31 + b"\n", r"a\.csv, line 2: longer than 30 bytes"),
    ],
)
def test_files_that_are_no_text_are_told(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr(text_files, "LONGEST_LINE_BYTES", 30)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        list(read_lines(tmp_path / name))
