import os

from kerasft.serving.lines import read_lines

CAFE = "café"


def test_lines_of_a_pipe():
    reader, writer = os.pipe()
    lines = read_lines(reader)
    assert next(lines) is None
    os.write(writer, b"one\r\n\ncaf")
    assert [next(lines), next(lines), next(lines)] == ["one", "", None]
    os.write(writer, CAFE.encode()[3:] + b"\n\xff no end")
    os.close(writer)
    assert list(lines) == [CAFE, "� no end"]
    os.close(reader)


def test_lines_of_a_file(tmp_path):
    texts = [f"{number} " + "word " * (number % 5000) for number in range(200)]
    (tmp_path / "lines").write_text("\n".join(texts) + "\n")
    with open(tmp_path / "lines", "rb") as file:
        assert list(read_lines(file.fileno())) == texts
