"""Tables read back as they were written; damaged ones are read or refused, and nothing else.

    KERASFT_FUZZ=20000 python -m pytest tests/fuzz/test_readers.py

tries 20,000 of each, others every time.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import resource
import time
from collections.abc import Callable
from typing import NamedTuple

import hypothesis
import hypothesis.strategies as st
import pandas
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from kerasft.data.files.cells import is_missing
from kerasft.data.files.source import FileSource
from kerasft.errors import UserError

# Characters that a format treats in its own way, and some of each length in UTF-8.
LETTERS = "ab ,;|\t\n\r\"'\\#=[]{}0.-é\u0301ß中\u00a0\u200b\u2028\U0001f600"
WORDS = ("pos", "neg", "so so", "Yes, no", 'a "b"', "ça", "x;y z")
NAMES = (("text", "label"), ("id", "text", "label"), ("label", "note", "text"))


class Table(NamedTuple):
    """A table of strings: the `names` of its columns, and `rows` of their cells."""

    names: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def examples(self) -> list[tuple[bytes, str]]:
        """Returns the text and the label of each row."""
        text, label = self.names.index("text"), self.names.index("label")
        return [(row[text].encode(), row[label]) for row in self.rows]

    def objects(self) -> list[dict[str, str]]:
        """Returns a dictionary for each row."""
        return [dict(zip(self.names, row, strict=True)) for row in self.rows]

    def frame(self) -> pandas.DataFrame:
        """Returns the table as a DataFrame."""
        return pandas.DataFrame(self.rows, columns=list(self.names))

    def arrow(self) -> pyarrow.Table:
        """Returns the table for pyarrow."""
        columns = map(list, zip(*self.rows, strict=True))
        return pyarrow.table(dict(zip(self.names, columns, strict=True)))


@st.composite
def tables(draw, letters: str = LETTERS) -> Table:
    """Tables with a text, a label and perhaps another column; each label has two rows."""
    texts = st.text(st.sampled_from(letters), max_size=12)
    names = draw(st.sampled_from(NAMES))
    words = draw(st.lists(st.sampled_from(WORDS), min_size=2, max_size=4, unique=True))
    labels = draw(st.permutations(words * 2))
    kinds = {"label": None, "text": texts.map(lambda text: text + "t" * is_missing(text))}
    return Table(
        names,
        [
            tuple(label if name == "label" else draw(kinds.get(name, texts)) for name in names)
            for label in labels
        ],
    )


class Written(NamedTuple):
    """A file that some program wrote: its name, its bytes, the delimiter if it has one."""

    name: str
    content: bytes
    delimiter: str | None = None


def _by_csv(table: Table, draw: Callable) -> Written:
    delimiter = draw(st.sampled_from(",,,;|\t"))
    file = io.StringIO()
    writer = csv.writer(
        file,
        delimiter=delimiter,
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        lineterminator=draw(st.sampled_from(["\n", "\r\n"])),
    )
    writer.writerows([table.names, *table.rows])
    mark = draw(st.sampled_from(["", "\ufeff"]))
    return Written("t.csv", (mark + file.getvalue()).encode(), delimiter)


def _by_pandas(table: Table, draw: Callable) -> Written:
    delimiter = draw(st.sampled_from(",;|"))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    written = table.frame().to_csv(index=draw(st.booleans()), sep=delimiter, quoting=quoting)
    return Written("t.csv", written.encode(), delimiter)


def _by_arrow(table: Table, draw: Callable) -> Written:
    delimiter, file = draw(st.sampled_from(",;|")), io.BytesIO()
    style = draw(st.sampled_from(["needed", "all_valid"]))
    options = pyarrow.csv.WriteOptions(delimiter=delimiter, quoting_style=style)
    pyarrow.csv.write_csv(table.arrow(), file, options)
    return Written("t.csv", file.getvalue(), delimiter)


def _as_plain_tabs(table: Table, draw: Callable) -> Written:
    rows = [table.names, *table.rows]
    content = "".join("\t".join(row) + "\n" for row in rows)
    return Written("t.tsv", content.encode(), "\t")


def _by_json(table: Table, draw: Callable) -> Written:
    ascii_only, mark = draw(st.booleans()), draw(st.sampled_from(["", "\ufeff"]))
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n"]))
    lines = [json.dumps(each, ensure_ascii=ascii_only) + end for each in table.objects()]
    return Written("t.jsonl", (mark + "".join(lines)).encode())


def _by_json_array(table: Table, draw: Callable) -> Written:
    indent = draw(st.sampled_from([None, 0, 2]))
    return Written("t.json", json.dumps(table.objects(), indent=indent).encode())


def _by_pandas_json(table: Table, draw: Callable) -> Written:
    lines = draw(st.booleans())
    return Written("t.json", table.frame().to_json(orient="records", lines=lines).encode())


def _as_parquet(table: Table, draw: Callable) -> Written:
    file = io.BytesIO()
    arrow = table.arrow()
    if draw(st.booleans()):
        arrow = arrow.cast(pyarrow.schema([(name, pyarrow.large_string()) for name in table.names]))
    pyarrow.parquet.write_table(
        arrow,
        file,
        compression=draw(st.sampled_from(["none", "snappy", "zstd", "gzip"])),
        use_dictionary=draw(st.booleans()),
        row_group_size=draw(st.sampled_from([1, 3, 1000])),
        data_page_version=draw(st.sampled_from(["1.0", "2.0"])),
    )
    return Written("t.parquet", file.getvalue())


def _as_pandas_parquet(table: Table, draw: Callable) -> Written:
    file = io.BytesIO()
    table.frame().to_parquet(file, index=draw(st.booleans()))
    return Written("t.parquet", file.getvalue())


QUOTED = (_by_csv, _by_pandas, _by_arrow)
JSON = (_by_json, _by_json_array, _by_pandas_json)
PARQUET = (_as_parquet, _as_pandas_parquet)


@st.composite
def written_tables(draw) -> tuple[Table, Written]:
    """Tables, and the file that one of the programs made of each."""
    write = draw(st.sampled_from([*QUOTED, _as_plain_tabs, *JSON, *PARQUET]))
    letters = set(LETTERS)
    if write in QUOTED:
        letters -= {"\r"}  # which csv and pandas leave without quotes: two readings
    elif write is _as_plain_tabs:
        letters -= set('\t\n\r"')  # which it cannot write, and marks that may enclose a cell
    table = draw(tables("".join(sorted(letters))))
    written = write(table, draw)
    if draw(st.booleans()) and not written.name.endswith(".parquet"):
        written = written._replace(
            name=written.name + ".gz", content=gzip.compress(written.content, mtime=0)
        )
    return table, written


PIECES = (
    *(bytes([each]) for each in b"\"',;\t|\n\r\0\\[]{}:"),
    *(b"null", b"NaN", b"1e999", b"-0", b'\\ud83d"', b"text,label\n", b"sep=;\n", b"\\N"),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\x80", b"\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *(b"PK\x03\x04", b"\x1f\x8b\x08", b"PAR1", b"[" * 5000, b'{"a":' * 5000, b"x" * 70000),
)


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """Returns the bytes with a few changes: cut, moved, doubled, replaced, put in."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.sampled_from([0, 1, 2, 8, 64, 10**6])))
        piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)))
        kept = draw(
            st.sampled_from([b"", piece, content[start:end] * 2, piece + content[start:end]])
        )
        content = content[:start] + kept + content[end:]
    return content


EXAMPLES = int(os.environ.get("KERASFT_FUZZ", "250"))
LONGEST_SECONDS = 5.0
MOST_BYTES = 300 * 2**20
fuzz = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize="KERASFT_FUZZ" not in os.environ,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    print_blob=True,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def read(path, **options):
    source = FileSource(
        train_files=[str(path)],
        text_column="text",
        label_column="label",
        label_kind="single",
        **options,
    )
    return [(text, source.label_names[label]) for text, _, label in source.iterate("train")]


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def put(folder, written):
    path = folder / written.name
    path.write_bytes(written.content)
    return path


def check_read_back(folder, table, written, **options):
    """Checks that a file holds the table, or is refused for want of its delimiter."""
    try:
        assert read(put(folder, written), **options) == table.examples()
    except UserError:
        assert not options
        assert written.delimiter not in (None, ",")


@fuzz
@hypothesis.given(written_tables(), st.booleans())
def test_what_programs_write_is_read_back(folder, found, is_named):
    table, written = found
    options = {"delimiter": written.delimiter} if is_named and written.delimiter else {}
    check_read_back(folder, table, written, **options)


def test_control_another_table_is_noticed(folder):
    table = Table(("text", "label"), [("a b", "x"), ("c", "y")] * 2)
    written = Written("t.csv", b"text,label\na b,x\nc,y\na b,x\nc,y\n", ",")
    check_read_back(folder, table, written)
    for old, new in ((b"a b", b"a  b"), (b"c,y", b"c,x"), (b"c,y\n", b""), (b"x", b'"x')):
        changed = written._replace(content=written.content.replace(old, new, 1))
        with pytest.raises(AssertionError):
            check_read_back(folder, table, changed)


@fuzz
@hypothesis.given(written_tables(), st.data())
def test_damage_is_read_or_refused(folder, found, data):
    written = found[1]._replace(content=data.draw(damaged(found[1].content)))
    began, peak = time.monotonic(), peak_bytes()
    try:
        examples = read(put(folder, written))
        assert all(text.decode().strip() for text, _ in examples)
    except UserError as error:
        str(error).encode()  # can be printed
    assert time.monotonic() - began < LONGEST_SECONDS
    assert peak_bytes() - peak < MOST_BYTES
