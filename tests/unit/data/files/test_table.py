"""Tables of every format: what is read, and what is said of a file that cannot be."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess

import pyarrow
import pyarrow.parquet
import pytest

from kerasft.data.files import parquet
from kerasft.data.files.source import FileSource
from kerasft.data.files.table import _HIVE_NULL, open_table
from kerasft.errors import UserError

ROWS = [("good film", "pos"), ('so "so"', "neg"), ("two\nlines, é", "pos")]


def values(table):
    return [row.values for row in table.rows()]


def csv_text(delimiter=","):
    text = 'text,label\ngood film,pos\n"so ""so""",neg\n"two\nlines, é",pos\n'
    return re.sub(",(?=label|pos|neg)", delimiter, text)


def objects():
    return [{"text": text, "label": label} for text, label in ROWS]


def jsonl_text():
    return "".join(json.dumps(one) + "\n" for one in objects())


def parquet_bytes():
    sink = pyarrow.BufferOutputStream()
    table = pyarrow.Table.from_pylist(objects())
    pyarrow.parquet.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", csv_text()),
        ("a.csv.gz", csv_text()),
        ("a.tsv", csv_text("\t")),
        ("a.TSV.gz", csv_text("\t")),
        ("a.jsonl", jsonl_text()),
        ("a.json.gz", jsonl_text() + "\n"),
        ("a.csv", csv_text().replace('\n"', '\r\n"').replace(",pos\n", ",pos\r\n")),
        ("a.csv", "\ufeff" + csv_text()),
        ("a.csv", csv_text() + "\n\n"),
        # Another delimiter than the name says, found or told by a line for Excel.
        ("a.csv", csv_text(";")),
        ("a.csv", csv_text("\t")),
        ("a.csv", csv_text("|")),
        ("a.tsv", csv_text(",")),
        ("a.csv", "sep=,\r\n" + csv_text()),
        ("a.csv.gz", "\ufeffsep=;\r\n" + csv_text(";")),
        ("a.tsv", '"sep=|"\n' + csv_text("|")),
        ("a.parquet", parquet_bytes()),
        ("a.parquet.gz", parquet_bytes()),
        # One JSON document.
        ("a.json", json.dumps(objects())),
        ("a.json", "\ufeff\n" + json.dumps(objects(), indent=1)),
        ("a.json.gz", json.dumps({"version": 1, "data": objects()})),
        ("a.jsonl", json.dumps({"data": objects()}, indent=2) + "\n"),
        ("a.jsonl", "\ufeff" + jsonl_text().replace("\n", "\n\ufeff", 1)),
    ],
)
def test_every_format_gives_the_same_rows(write, name, content):
    table = open_table(write(name, content))
    assert table.columns == ("text", "label")
    assert values(table) == ROWS
    assert values(table) == ROWS  # a second time


def test_a_folder_by_class(write, tmp_path):
    for name, text in (("pos/2.txt", "b"), ("pos/1.txt", "a"), ("neg/x.txt.gz", "c")):
        write(f"films/{name}", text)
    for name in ("pos/notes.md", "none/1.png"):
        write(f"films/{name}", "not a text")
    for name in ("pos/._1.txt", "pos/.2.txt", "__MACOSX/pos/1.txt", ".git/x.txt"):
        write(f"films/{name}", "hidden")
    table = open_table(tmp_path / "films")
    assert values(table) == [("c", "neg"), ("a", "pos"), ("b", "pos")]
    assert [row.place for row in table.rows()] == ["neg/x.txt.gz", "pos/1.txt", "pos/2.txt"]
    assert [note.split("films/")[1] for note in table.notes] == [
        "none: 1 not read, being no .txt files (1.png).",
        "none: no text in it, so it is no class.",
        "pos: 1 not read, being no .txt files (notes.md).",
    ]


def test_shards_are_one_table_whatever_the_order_of_their_columns(write, tmp_path):
    write("part-2.csv", "label,text\nneg,c\n")
    write("part-1.csv", "text,label\na,pos\nb,pos\n")
    table = open_table(str(tmp_path / "part-*.csv"))
    assert values(table) == [("a", "pos"), ("b", "pos"), ("c", "neg")]
    assert [row.place for row in table.rows()] == ["part-1.csv:2", "part-1.csv:3", "part-2.csv:2"]


def test_rows_are_named_by_the_line_on_which_they_end(write):
    for name, content, numbers in (
        ("a.csv", csv_text(), [2, 3, 5]),
        ("a.parquet", parquet_bytes(), [1, 2, 3]),
    ):
        assert [row.number for row in open_table(write(name, content)).rows()] == numbers


def test_a_format_that_is_said_counts_more_than_the_name(write):
    table = open_table(write("a.txt", "text\tlabel\nx\ty\n"), "tsv")
    assert values(table) == [("x", "y")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a\.csv is empty.*a line of column names"),
        (
            "a.csv",
            "text;label\na;b;c\n",
            r"may be separated by semicolons: say by which.*'text;label'.*Fix: --delimiter ';'",
        ),
        (
            "a.csv",
            "text,a;label\nb,c;d\n",
            r"by commas or semicolons.*Fix: --delimiter , or --delimiter ';'",
        ),
        ("a.tsv", "text|label\na\n", r"separated by bars.*tabs in a \.tsv file"),
        (
            "a.csv",
            "text,label\na,b\nc\nd,e\nf,g,h\n",
            r"ending on line 3, 5\. Received: '1 cells on line 3'.*2: text, label",
        ),
        ("a.csv", "text,label\na,b,\nc,d,\n", r"'3 cells on line 2'.*off the ends of the rows"),
        ("a.csv", 'text,label\n"a,b\n', r"a\.csv, line 2: unexpected end of data"),
        # Refused before memory is full.
        ("a.csv", 'text,label\n"' + ("x" * 1023 + "\n") * (17 * 1024), "larger than field limit"),
        ("a.csv", 'text,label\n"a"b,c\n', r"line 2: .*expected after.*quotes inside it doubled"),
        ("a.csv", "text,label\na\0,b\n", r"line 2: a NUL byte"),
        ("a.jsonl", "", r"a\.jsonl is empty"),
        ("a.jsonl", "\ufeff", r"a\.jsonl is empty"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", '{"a": ' + "[" * 100_000 + "\n", r"a\.jsonl, line 1: not JSON"),
        ("a.jsonl", '{"a":\n{"a": 1}\n', r"a\.jsonl, line 1: not JSON"),
        ("a.json", '[{"a": 1},\n 2]\n', r"item 2: not an object.*one object a line"),
        ("a.json", '[{"a": 1},\n{"a": 2}', r"line 2: not JSON .*delimiter"),
        ("a.json", '[{"a": 1}]\n\n{"a": 2}', r"line 3: not JSON .Extra data"),
        ("a.json", "[]", r"a\.json is empty"),
        ("a.parquet", "text,label\n", r"not a readable Parquet file.*--format csv"),
        ("a.parquet", parquet_bytes()[:-20], r"not a readable Parquet file"),
        ("a.xlsx", "x", r"does not say by its name.*\.csv, \.tsv.*--format csv"),
        ("a.xlsx", b"PK\3\4\x14\0\0\0", r"a\.xlsx is a spreadsheet.*save the sheet as CSV"),
        ("a.csv", parquet_bytes(), r"a\.csv is a Parquet file.*--format parquet"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_file_is_told(write, name, content, message):
    with pytest.raises(UserError, match=message):
        values(open_table(write(name, content)))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("Export of 3 March\n\nBy hand\n" + csv_text(), r"no line of column names.*title"),
        ("Export,\n" + csv_text(), r"no line of column names.*title"),
        ("Export\n" + csv_text(";"), r"no line of column names.*title"),
        (csv_text().replace('"so ""so"""', r'"so \"so\""'), r"line 3: quotes are escaped"),
        (csv_text().replace("good film", "good \rfilm"), r"line 2: a carriage return"),
        (csv_text().replace("\n", "\r"), r"its lines end with a carriage return"),
    ],
)
def test_following_the_fix_gives_the_rows(write, tmp_path, content, message):
    with pytest.raises(UserError, match=message) as error:
        values(open_table(write("it's a.csv", content)))
    command = re.search(r"(?:tail|sed|tr|jq|iconv) .*$", str(error.value)).group()
    subprocess.run(["bash", "-c", command], check=True)
    expected = [(text.replace("\n", " "), label) for text, label in ROWS]
    found = values(open_table(tmp_path / "converted-it's a.csv"))
    assert [(text.replace("\n", " "), label) for text, label in found] == expected


def test_following_the_fix_inside_a_folder_by_class(write, tmp_path):
    write("films/neg/1.txt", "b")
    write("films/pos/1.txt", "café".encode("latin1"))
    with pytest.raises(UserError, match=r"pos/1\.txt: not UTF-8") as error:
        values(open_table(tmp_path / "films"))
    command = re.search(r"iconv .*$", str(error.value)).group()
    subprocess.run(["bash", "-c", command], check=True)
    assert values(open_table(tmp_path / "films")) == [("b", "neg"), ("café", "pos")]


QUOTED = [
    # name, lines after the header, rows, what is said
    ("a.tsv", '"so\t1\n"b" c\t2\n', [('"so', "1"), ('"b" c', "2")], "quotes belong to the texts"),
    ("a.csv", '"so\t1\n"b" c\t2\n', [('"so', "1"), ('"b" c', "2")], "stand between tabs"),
    (
        "a.tsv",
        '"a\t1\nb\t2\nc"\t3\n',
        [('"a', "1"), ("b", "2"), ('c"', "3")],
        "belong to the texts",
    ),
    ("a.tsv", '"a\t1\n"b"\t2\n', [('"a', "1"), ('"b"', "2")], "quotes belong to the texts"),
    ("a.tsv", '"s""o"\t1\n"b"\t2\n', [('s"o', "1"), ("b", "2")], ""),
    ("a.tsv", '"s""o"\t1\n"b\tc"\t2\n', [('s"o', "1"), ("b\tc", "2")], ""),
    ("a.tsv", '"a\nb"\t1\n"c"\t2\n', [("a\nb", "1"), ("c", "2")], ""),
]


@pytest.mark.parametrize(("name", "lines", "rows", "said"), QUOTED)
def test_quotes_of_a_file_of_tabs_belong_to_the_text_unless_all_pair_up(
    write, name, lines, rows, said
):
    table = open_table(write(name, "text\tlabel\n" + lines))
    assert values(table) == rows
    assert bool(table.notes) == bool(said)
    assert said in "".join(table.notes)


PROSE = "Dear all,\nthank you\nfor this, and that"
A, B, C = ("a", "x"), ("b", "y"), ("c", "x")
ODD = [
    ("a,x\ntext,label\nb,y\n\ufefftext,label\nc,x\n", [A, B, C], r"2 .*\(line 3, 5\)"),
    ('a,x\n\ufeff"text",label\nb,y\n', [A, B], r"1 repeated header .*\(line 3\)"),
    ("a,x\n\\N,y\nb,\\N\n", [A, (None, "y"), ("b", None)], r"\\N is .* missing value \(2 rows\)"),
    ('a,x\n"b,y\nc,x\nd",y\n', [A, ("b,y\nc,x\nd", "y")], r"warning: .* lines 3 to 5.*\(1 such"),
    (f'a,x\n"{PROSE}",y\n', [A, (PROSE, "y")], None),
]


@pytest.mark.parametrize(("lines", "rows", "said"), ODD)
def test_odd_rows_are_told(write, lines, rows, said):
    table = open_table(write("a.csv", "text,label\n" + lines))
    assert values(table) == rows
    assert len(table.notes) == len(table.reading) == (said is not None)
    assert re.search(rf"^a\.csv: {said}" if said else "^$", "".join(table.notes))


def test_a_delimiter_that_is_said_counts_most(write):
    path = write("a.csv", "a,text;label\n")
    assert open_table(path, delimiter=",").columns == ("a", "text;label")
    assert open_table(path, delimiter=";").columns == ("a,text", "label")
    table = open_table(write("b.csv", "sep=;\na\ttext\n1\t2\n"), delimiter=r"\t")
    assert (table.columns, values(table)) == (("a", "text"), [("1", "2")])
    with pytest.raises(UserError, match=r"a\.jsonl has no delimiter.*CSV and TSV alone"):
        open_table(write("a.jsonl", jsonl_text()), delimiter=",")


def write_table(path, columns, names=None):
    arrays = [pyarrow.array(column) for column in columns]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names), path)
    return str(path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_only_columns_that_are_read_must_be_there_once(write, tmp_path, name):
    columns = ["id", "text", "id", "label"]
    if name == "a.csv":
        write(name, "id,text,id,label\n1,a,2,x\n")
    elif name == "a.jsonl":
        write(name, '{"id": 1, "text": "a", "id": 2, "label": "x", "more": {"text": "label"}}\n')
    else:
        write_table(tmp_path / name, [[1], ["a"], [2], ["x"]], columns)
    table = open_table(tmp_path / name)
    assert values(table.select(("text", "label"))) == [A]
    with pytest.raises(UserError, match=r"a\..* (has the column 'id' 2 times|has a key twice)"):
        values(table.select(("text", "id")))


def test_columns_without_a_name_are_none(write):
    table = open_table(write("a.csv", ",text,label, ,\n1,a,x,2,\n"))
    assert (table.columns, values(table)) == (("text", "label"), [A])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a.csv", "text,label,note\na,x,n\n"), ("b.csv", "text,label\nb,y\n")),
        (("a.csv", "note,label,text\nn,x,a\n"), ("b.jsonl", '{"text": "b", "label": "y"}\n')),
        (("a.jsonl", '{"text": "a", "label": "x", "note": 1}\n'), ("b.csv", "label,text\ny,b\n")),
    ],
)
def test_shards_need_only_the_columns_that_are_read(write, one, other):
    files = [write(*one), write(*other)]
    for order in (files, files[::-1]):
        table = open_table(order)
        assert {*table.columns} == {"text", "label", "note"}
        assert {*values(table.select(("text", "label")))} == {A, B}
    if other[0] == "b.csv":
        with pytest.raises(UserError, match=r"b\.csv has no column 'note', which another file has"):
            open_table(files).select(("text", "note"))


def test_a_key_may_come_late(write):
    lines = '{"text": "b"}\n' * 101 + '{"text": "a", "label": "x"}\n'
    table = open_table(write("a.jsonl", lines))
    assert table.columns == ("text",)
    assert [table.has_column(name) for name in ("label", "lable")] == [True, False]
    assert values(table.select(("text", "label")))[100:] == [("b", None), A]


def test_folders_of_hive_are_columns(write, tmp_path):
    for folder, text in (("label=x/day=1", "a"), ("label=a%2Fb/day=2", "b")):
        write(f"data=1/{folder}/part.csv", f"text\n{text}\n")
    write("data=1/label=x/_SUCCESS", "")
    write(f"data=1/label={_HIVE_NULL}/part.jsonl", '{"text": "c"}\n')
    expected = {("a", "x", "1"), ("b", "a/b", "2"), ("c", None, None)}
    table = open_table(tmp_path / "data=1")
    assert {(*row, None)[:3] for row in values(table.select(("text", "label")))} == {
        (text, label, None) for text, label, _ in expected
    }
    table = open_table(str(tmp_path / "data=1/*/*/*.csv")).select(("text", "label", "day"))
    assert {*values(table)} == {row for row in expected if row[1]}
    assert open_table(tmp_path / "data=1/label=x/day=1/part.csv").columns == ("text",)


def test_columns_of_parquet_that_nobody_asked_for_are_not_read(tmp_path):
    raw = pyarrow.array([b"a", b"b\xff"], pyarrow.binary())
    columns = {
        "text": pyarrow.array(["a", "b"]),
        "label": pyarrow.array(["x", "y"]).dictionary_encode(),
        "late": pyarrow.array([1, 3_000_000], pyarrow.int32()).cast(pyarrow.date32()),
        "nanoseconds": pyarrow.array([0, 1_700_000_000_123_456_789]).cast(pyarrow.timestamp("ns")),
        "broken": pyarrow.Array.from_buffers(pyarrow.string(), 2, raw.buffers()),
        "a.b": pyarrow.array([[1.0], [2.0]]),
        "raw": raw,
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    assert values(table.select(("label", "text"))) == [("x", "a"), ("y", "b")]
    assert values(table.select(["a.b"])) == [([1.0],), ([2.0],)]
    for name, message in (
        ("late", r"a\.parquet:2: the column late cannot be read: .*out of range"),
        ("broken", r"a\.parquet:2: the column broken is not UTF-8. Received: b'b\\xff'"),
    ):
        with pytest.raises(UserError, match=message):
            values(table.select((name,)))
    with pytest.raises(UserError, match=r"a\.parquet:1: the text is binary"):
        FileSource(train_files=[str(tmp_path / "a.parquet")], text_column="raw")


def test_batches_of_parquet_are_bounded_in_bytes(tmp_path, monkeypatch):
    sizes, read = [], parquet.ParquetFile._values
    monkeypatch.setattr(
        parquet.ParquetFile, "_values", lambda self, *a: sizes.append(len(a[0])) or read(self, *a)
    )
    texts = [f"{number:06d}" * 1000 for number in range(100)]
    write_table(tmp_path / "a.parquet", [texts, [[0.5] * 1000] * 100], ["text", "vector"])
    table = open_table(tmp_path / "a.parquet").select(["text"])
    assert len(values(table)) == sum(sizes) == max(sizes) == 100
    sizes.clear()
    monkeypatch.setattr(parquet, "_BATCH_BYTES", 60_000)
    assert values(table) == [(text,) for text in texts]
    assert max(sizes) == 9


def test_names_that_are_no_utf8_are_told(write, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    write(f"{name}.csv", csv_text())
    with pytest.raises(UserError, match=r"name of a file is no UTF-8.*Fix: mv \$'.*351"):
        open_table(tmp_path / f"{name}.csv")
    write(f"films/{name}/1.txt", "a")
    with pytest.raises(UserError, match=r"name of a class is no UTF-8"):
        open_table(tmp_path / "films")
    write(f"other/pos/{name}.txt", "a")
    write(f"other/pos/{name}.png", "a")
    table = open_table(tmp_path / "other")
    assert [row.place for row in table.rows()] == ["pos/caf\ufffd.txt"]
    "".join(table.notes).encode()


def test_a_pipe_is_told(tmp_path):
    os.mkfifo(tmp_path / "a.csv")
    reading, writing = os.pipe()
    for path in (tmp_path / "a.csv", f"/dev/fd/{reading}", str(tmp_path / "*.csv")):
        with pytest.raises(UserError, match=r"is a pipe or a device: files are read more than"):
            open_table(path, "csv")
    os.close(reading)
    os.close(writing)


def test_what_may_not_be_read_is_told(write, tmp_path, monkeypatch):
    folder = tmp_path / "films"
    write("films/pos/1.txt", "a")

    def refuse(path, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(type(folder), "iterdir", refuse)
    for path in (folder, folder / "neg.csv"):
        with pytest.raises(UserError, match=r"films cannot be read: Permission denied"):
            open_table(path)
    monkeypatch.undo()
    table = open_table(folder)
    (folder / "pos" / "1.txt").unlink()
    assert values(table) == []
    path = write("a.csv", csv_text())
    table = open_table(path)
    os.unlink(path)
    with pytest.raises(UserError, match=r"a\.csv cannot be read: No such file"):
        values(table)


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        (["all/review.csv"], "auto", r'no such file\. Did you mean "reviews\.csv"'),
        (["x" * 5000], "auto", "There is no such file"),
        (["all/none*.csv"], "auto", r"No file matches the glob.*none\*\.csv"),
        ([""], "auto", "name of a file is empty"),
        ([" "], "auto", "name of a file is empty"),
        (["all/reviews.csv", "all/*.csv"], "auto", r"given twice.*reviews\.csv"),
        (["all"], "auto", r"without text files by class.*reviews\.csv.*give a glob"),
        (["all"], "csv", r"is a folder.*format csv"),
        (["all/reviews.csv"], "folder", r"is no folder.*format folder"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_names_of_no_data_are_told(write, tmp_path, monkeypatch, names, kind, message):
    write("all/reviews.csv", "text,label\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        open_table(names, kind)
