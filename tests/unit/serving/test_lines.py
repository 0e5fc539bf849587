import os
import threading

import pytest

from kerasft.errors import UserError
from kerasft.serving import lines as serving_lines
from kerasft.serving.lines import read_lines

CAFE = "café"


def test_lines_of_a_pipe():
    reader, writer = os.pipe()
    lines = read_lines(reader)
    assert next(lines) is None
    os.write(writer, b"one\r\n\ncaf")
    assert [next(lines), next(lines), next(lines)] == [(1, "one"), (2, ""), None]
    os.write(writer, CAFE.encode()[3:] + b"\na\rno end\r")
    os.close(writer)
    assert list(lines) == [(3, CAFE), (4, "a\rno end")]
    os.close(reader)


def test_lines_of_a_file(tmp_path):
    texts = [f"{number} " + "word " * (number % 5000) for number in range(200)]
    (tmp_path / "lines").write_text("\ufeff" + "\n".join(texts) + "\n")
    with open(tmp_path / "lines", "rb") as file:
        assert list(read_lines(file.fileno())) == list(enumerate(texts, start=1))


def read(content):
    """Reads bytes from a pipe."""
    reader, writer = os.pipe()

    def write():
        with os.fdopen(writer, "wb") as file:
            file.write(content)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        return [line for line in read_lines(reader) if line is not None]
    finally:
        os.close(reader)
        writing.join()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("one\ntwo\n".encode("utf-16"), "stdin is in UTF-16.*iconv -f UTF-16 -t UTF-8 < FILE"),
        ("one\ntwo\n".encode("utf-16-le"), "stdin is in UTF-16LE.*iconv -f UTF-16LE"),
        ("one\ntwo\n".encode("utf-32"), "stdin is in UTF-32.*iconv -f UTF-32"),
        (b"\x1f\x8b\x08\0\n", "stdin is compressed by gzip.*zcat < FILE"),
        ("one\nit’s\n".encode("cp1252"), "stdin, line 2: not UTF-8.*WINDOWS-1252"),
        (b"one\n\0\n", "stdin, line 2: a NUL byte"),
        (b"one\rtwo\r", "stdin: its lines end with a carriage return"),
        (b"one\n" + b"x" * 3000, "stdin, line 2: longer than 2,000 bytes"),
    ],
)
def test_what_is_no_text(monkeypatch, content, message):
    monkeypatch.setattr(serving_lines, "LONGEST_LINE_BYTES", 2000)
    monkeypatch.setattr("kerasft.text_files.LONGEST_LINE_BYTES", 2000)
    with pytest.raises(UserError, match=message):
        read(content)


@pytest.mark.parametrize("content", [b"", b"\n", "\ufeff".encode()])
def test_nearly_nothing(content):
    texts = [text for _, text in read(content)]
    assert texts == ([""] if content == b"\n" else [])
