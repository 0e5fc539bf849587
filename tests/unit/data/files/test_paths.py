"""Files at a URI: `file://`, read by pyarrow as `gs://` or `s3://` would be."""

from __future__ import annotations

import gzip
import io
import json

import pyarrow
import pyarrow.parquet
import pytest

from kerasft.data.files.paths import RemotePath, to_path
from kerasft.data.files.source import FileSource
from kerasft.data.files.table import open_table
from kerasft.errors import UserError

ROWS = [(f"text {number}, é", ("pos", "neg")[number % 2]) for number in range(6)]


def csv_text(delimiter=","):
    lines = [("text", "label"), *((f'"{text}"', label) for text, label in ROWS)]
    return "".join(f"{a}{delimiter}{b}\n" for a, b in lines).encode()


def parquet_bytes():
    file = io.BytesIO()
    texts, labels = zip(*ROWS, strict=True)
    pyarrow.parquet.write_table(pyarrow.table({"text": texts, "label": labels}), file)
    return file.getvalue()


FILES = {
    "a.csv": csv_text(),
    "a.csv.gz": gzip.compress(csv_text()),
    "a.tsv": csv_text("\t"),
    "a.jsonl": "\n".join(json.dumps({"text": a, "label": b}) for a, b in ROWS).encode(),
    "a.parquet": parquet_bytes(),
}


@pytest.fixture
def put(tmp_path):
    """Writes a file into a folder; returns the folder's URI and its path."""
    folder = tmp_path / "re views"

    def put(name, content):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        return f"file://{folder}", folder

    return put


def examples(*files):
    source = FileSource(train_files=[str(file) for file in files])
    return list(source.iterate("train")), source.fingerprint("train"), source.name


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_as_a_local_one(put, name):
    remote, local = put(name, FILES[name])
    assert examples(f"{remote}/{name}") == examples(local / name)
    assert len(examples(f"{remote}/{name}")[0]) == len(ROWS)


def test_a_folder_by_class(put):
    for number, (text, label) in enumerate(ROWS):
        remote, local = put(f"{label}/{number}.txt", text.encode())
    assert examples(remote) == examples(local)
    assert examples(remote + "/")[0] == examples(local)[0]


def test_folders_of_hive(put):
    for label in ("pos", "neg"):
        content = "".join(f"text {number}\n" for number in range(2))
        remote, local = put(f"label={label}/a.csv", f"text\n{label}\n{content}".encode())
    assert examples(remote)[0] == examples(local)[0]
    assert [example.label for example in examples(f"{remote}/*/a.csv")[0]] == [0, 0, 0, 1, 1, 1]


def test_a_glob(put):
    for name in ("b.csv", "a.csv"):
        remote, _ = put(name, FILES["a.csv"])
    table = open_table(f"{remote}/*.csv")
    assert [file.name for file in table.files] == ["a.csv", "b.csv"]
    with pytest.raises(UserError, match=r"No file matches the glob. Received: .*\*.tsv"):
        open_table(f"{remote}/*.tsv")
    with pytest.raises(UserError, match="given twice"):
        open_table([f"{remote}/*.csv", f"{remote}/a.csv"])


def test_what_is_not_there(put):
    remote, _ = put("train.csv", FILES["a.csv"])
    with pytest.raises(UserError, match=r"no such file. Did you mean .train.csv.\?"):
        open_table(f"{remote}/trian.csv")
    with pytest.raises(UserError, match=r"cannot be looked for: .*type in URI: foo://.*pyarrow"):
        open_table("foo://bucket/train.csv")


def test_a_file_that_goes_while_it_is_read(put):
    remote, local = put("a.csv", FILES["a.csv"])
    table = open_table(f"{remote}/a.csv")
    (local / "a.csv").unlink()
    with pytest.raises(UserError, match=r"a.csv cannot be read"):
        list(table.rows())


@pytest.mark.parametrize("name", ["a.csv", "a/b://c.csv", "C:/a.csv", "~/a.csv"])
def test_without_a_scheme_it_is_local(name):
    assert not isinstance(to_path(name), RemotePath)
