"""Tables of every format: what is read, and what is said of a file that cannot be."""

from __future__ import annotations

import gzip
import json
import re

import pyarrow
import pyarrow.parquet
import pytest

from kerasft.data.files.table import open_table
from kerasft.errors import UserError

ROWS = [("good film", "pos"), ('so "so"', "neg"), ("two\nlines, é", "pos")]


def values(table):
    return [row.values for row in table.rows()]


def csv_text(delimiter=","):
    text = 'text,label\ngood film,pos\n"so ""so""",neg\n"two\nlines, é",pos\n'
    return re.sub(",(?=label|pos|neg)", delimiter, text)


def jsonl_text():
    return "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)


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
    ],
)
def test_every_format_gives_the_same_rows(write, name, content):
    table = open_table(write(name, content))
    assert table.columns == ("text", "label")
    assert values(table) == ROWS
    assert values(table) == ROWS  # a second time


def parquet_bytes():
    sink = pyarrow.BufferOutputStream()
    texts, labels = zip(*ROWS, strict=True)
    table = pyarrow.table({"text": texts, "label": labels})
    pyarrow.parquet.write_table(table, sink, row_group_size=2)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("name", ["a.parquet", "a.parquet.gz"])
def test_parquet(write, name):
    table = open_table(write(name, parquet_bytes()))
    assert table.columns == ("text", "label")
    assert values(table) == ROWS
    assert [row.number for row in table.rows()] == [1, 2, 3]


def test_a_folder_by_class(write, tmp_path):
    for name, text in (("pos/2.txt", "b"), ("pos/1.txt", "a"), ("neg/x.txt.gz", "c")):
        write(f"films/{name}", text)
    write("films/pos/notes.md", "not a text")
    write("films/.hidden/1.txt", "not a class")
    table = open_table(tmp_path / "films")
    assert values(table) == [("c", "neg"), ("a", "pos"), ("b", "pos")]
    assert [row.place for row in table.rows()] == ["neg/x.txt.gz", "pos/1.txt", "pos/2.txt"]
    ignored = [note.split("films/")[1] for note in table.notes]
    assert ignored == ["pos: 1 not read, being no .txt files (notes.md)."]


def test_shards_are_one_table_whatever_the_order_of_their_columns(write, tmp_path):
    write("part-2.csv", "label,text\nneg,c\n")
    write("part-1.csv", "text,label\na,pos\nb,pos\n")
    table = open_table(str(tmp_path / "part-*.csv"))
    assert values(table) == [("a", "pos"), ("b", "pos"), ("c", "neg")]
    assert [row.place for row in table.rows()] == ["part-1.csv:2", "part-1.csv:3", "part-2.csv:2"]


def test_rows_are_named_by_the_line_on_which_they_end(write):
    table = open_table(write("a.csv", csv_text()))
    assert [row.number for row in table.rows()] == [2, 3, 5]


def test_a_format_that_is_said_counts_more_than_the_name(write):
    table = open_table(write("a.txt", "text\tlabel\nx\ty\n"), "tsv")
    assert values(table) == [("x", "y")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "", r"a\.csv is empty.*a line of column names"),
        ("a.csv", "text;label\na;b\n", r"not separated by commas.*has semicolons.*save it again"),
        ("a.csv", "text\tlabel\na\tb\n", r"not separated by commas.*has tabs.*--format tsv"),
        ("a.tsv", "text,label\na,b\n", r"not separated by tabs.*has commas"),
        ("a.csv", "text,text\na,b\n", r"names columns twice.*'text'"),
        (
            "a.csv",
            "text,label\na,b\nc\nd,e\nf,g,h\n",
            r"ending on line 3, 5\. Received: '1 cells on line 3'.*2: text, label",
        ),
        ("a.csv", 'text,label\n"a,b\n', r"a\.csv, line 2: unexpected end of data"),
        ("a.csv", 'text,label\n"a"b,c\n', r"line 2: .*expected after.*quotes inside it doubled"),
        ("a.csv", "text,label\na\0,b\n", r"line 2: a NUL byte"),
        ("a.csv", b"text,label\ncaf\xe9,b\n", r"line 2: not UTF-8.*iconv -f LATIN1"),
        ("a.csv", "text,label\n".encode("utf-16"), r"a\.csv is UTF-16.*iconv -f UTF-16"),
        ("a.jsonl", "", r"a\.jsonl is empty"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a\.jsonl, line 2: not JSON"),
        ("a.jsonl", '{"a": ' + "[" * 100_000 + "\n", r"a\.jsonl, line 1: not JSON"),
        ("a.jsonl", '[{"a": 1}]\n', r"line 1: not an object.*one object a line"),
        ("a.parquet", "text,label\n", r"not a readable Parquet file.*--format csv"),
        ("a.xlsx", "x", r"does not say by its name.*\.csv, \.tsv.*--format csv"),
    ],
)
def test_a_bad_file_is_told(write, name, content, message):
    with pytest.raises(UserError, match=message):
        values(open_table(write(name, content)))


@pytest.mark.parametrize("damage", ["cut", "plain"])
def test_a_bad_gzip_is_told(tmp_path, damage):
    path = tmp_path / "a.csv.gz"
    whole = gzip.compress(csv_text().encode() * 50)
    path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else csv_text().encode())
    with pytest.raises(UserError, match=r"cannot be unzipped.*take \.gz off its name"):
        values(open_table(path))


def test_a_cut_parquet_is_told(write):
    with pytest.raises(UserError, match="not a readable Parquet file"):
        values(open_table(write("a.parquet", parquet_bytes()[:-20])))


def test_a_missing_file_is_told(write, tmp_path):
    write("reviews.csv", "x")
    with pytest.raises(UserError, match=r'no such file\. Did you mean "reviews\.csv"'):
        open_table(tmp_path / "review.csv")
    with pytest.raises(UserError, match=r"No file matches the glob.*none\*\.csv"):
        open_table(str(tmp_path / "none*.csv"))


def test_a_folder_without_classes_is_told(write, tmp_path):
    write("all/a.csv", "text,label\n")
    with pytest.raises(UserError, match=r"without text files by class.*a\.csv.*give a glob"):
        open_table(tmp_path / "all")
    with pytest.raises(UserError, match=r"is a folder.*format csv"):
        open_table(tmp_path / "all", "csv")
    with pytest.raises(UserError, match=r"is no folder.*format folder"):
        open_table(tmp_path / "all" / "a.csv", "folder")


def test_shards_of_other_columns_are_told(write):
    files = [write("1.csv", "text,label\n"), write("2.csv", "text,stars\n")]
    with pytest.raises(UserError, match=r"2\.csv has other columns.*text, stars.*text, label"):
        open_table(files)
