"""What could be lost, doubled or changed without a word is not."""

from __future__ import annotations

import shutil

import pyarrow
import pyarrow.parquet
import pytest

from kerasft.data.files.columns import Columns, choose_columns
from kerasft.data.files.source import FileSource
from kerasft.data.files.table import open_table
from kerasft.errors import UserError

TRAIN = "text,label\na,pos\nb,neg\nc,pos\nd,neg\n"


def test_a_file_that_is_given_twice_is_told(write, tmp_path):
    file = write("a.csv", "text,label\n")
    with pytest.raises(UserError, match=r"given twice.*a\.csv"):
        open_table([file, str(tmp_path / "*.csv")])


def test_a_name_that_no_file_can_have_is_told():
    with pytest.raises(UserError, match="There is no such file"):
        open_table("x" * 5000)


def test_a_class_without_texts_is_told(write, tmp_path):
    write("films/pos/1.txt", "a")
    write("films/images/1.png", "b")
    notes = open_table(tmp_path / "films").notes
    assert any("images: no text in it, so it is no class." in note for note in notes)


def test_a_quote_that_is_never_closed_is_refused_before_memory_is_full(write):
    unclosed = 'text,label\n"' + ("x" * 1023 + "\n") * (17 * 1024)
    with pytest.raises(UserError, match="field larger than field limit"):
        list(open_table(write("b.csv", unclosed)).rows())


def test_a_binary_parquet_column_is_told(tmp_path):
    table = pyarrow.table({"text": [b"a", b"b"], "label": ["x", "y"]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(UserError, match=r"t\.parquet:1: the text is binary"):
        FileSource(train_files=[str(tmp_path / "t.parquet")])


def test_a_number_that_float32_cannot_hold_is_told(open_source):
    with pytest.raises(UserError, match=r"labels are to be numbers.*'1e300' \(train\.csv:2\)"):
        open_source("text,label\na,1e300\nb,2.5\n", label_kind="number")


def test_a_test_file_without_labels_is_told(write):
    files = [write("e.csv", "text,lable\na,b\n")]
    with pytest.raises(UserError, match=r"e\.csv has no column 'label'.*Did you mean \"lable\""):
        FileSource(train_files=[write("t.csv", TRAIN)], test_files=files)


def test_a_table_without_header_is_told(open_source):
    content = "great film,pos\nbad film,neg\ngood,pos\nworse,neg\n"
    with pytest.raises(UserError, match=r"first line looks like a row.*'pos'.*--label NAME"):
        open_source(content)
    named = open_source(content + "so,pos\n", text_column="great film", label_column="pos")
    assert named.label_names == ("neg", "pos")  # who names the columns has seen them


def test_the_first_object_need_not_hold_every_key(open_source):
    lines = '{"text": "b", "label": 1}\n{"text": "c", "label": 2}\n' * 2
    source = open_source('{"text": "a"}\n' + lines, "t.jsonl")
    assert (source.num_examples("train"), source.num_dropped("train")) == (4, {"no label": 1})


@pytest.mark.parametrize("changed", [TRAIN + "e,pos\n", TRAIN.replace("d,neg", "d,new")])
def test_files_that_change_while_they_are_read_are_told(open_source, write, changed):
    source = open_source(TRAIN)
    write("train.csv", changed)
    with pytest.raises(UserError, match=r"data of train changed while it was read: .*train\.csv"):
        list(source.iterate("train"))


@pytest.mark.parametrize("kind", ["rewritten", "replaced"])
def test_files_that_change_and_are_restored_while_they_are_read_are_told(
    open_source, write, tmp_path, kind
):
    source, path = open_source(TRAIN), tmp_path / "train.csv"
    source.check_unchanged("train")
    if kind == "rewritten":
        write("train.csv", TRAIN.replace("pos", "neg"))
        write("train.csv", TRAIN)
    else:
        path.rename(tmp_path / "old.csv")
        write("train.csv", TRAIN.replace("pos", "neg"))
        (tmp_path / "old.csv").rename(path)
    with pytest.raises(UserError, match=r"data of train changed while it was read: .*train\.csv"):
        source.check_unchanged("train")
    assert FileSource(train_files=[str(path)]).fingerprint("train") == source.fingerprint("train")


def test_files_that_change_while_their_labels_are_counted_are_told(write, monkeypatch):
    scan = FileSource._scan_further

    def scan_once_more(source, split):
        scan(source, split)
        write("train.csv", TRAIN.replace("d,neg", "d,pos"))

    monkeypatch.setattr(FileSource, "_scan_further", scan_once_more)
    files = [write("train.csv", TRAIN)], [write("test.csv", TRAIN)]
    with pytest.raises(UserError, match=r"data of train changed while it was read: .*train\.csv"):
        FileSource(train_files=files[0], test_files=files[1])


def test_a_class_that_is_removed_while_it_is_read_is_told(write, tmp_path):
    for name in ("good/1.txt", "good/2.txt", "bad/1.txt", "bad/2.txt"):
        write(f"films/{name}", name)
    source = FileSource(train_files=[str(tmp_path / "films")])
    shutil.rmtree(tmp_path / "films" / "good")
    with pytest.raises(UserError, match=r"films/good cannot be read: No such file"):
        list(source.iterate("train"))
    with pytest.raises(UserError, match=r"films/good cannot be read: No such file"):
        source.check_unchanged("train")


def test_lists_that_a_spreadsheet_holds_as_text(open_source):
    source = open_source("text,tags\na,\"['x', 'y']\"\nb,[]\nc,\"['x', 'y']\"\nd,\n")
    labels = [example.label for example in source.iterate("train")]
    assert (source.label_names, labels) == (("x", "y"), [(0, 1), (), (0, 1), ()])


def test_pairs_of_usual_names_are_guessed_together():
    names = ("id", "Premise", "hypothesis", "label")
    given = dict.fromkeys(("text", "label", "text_pair", "group"))
    columns, said = choose_columns(names, list, **given)
    assert columns == Columns(1, 3, 2, None)
    assert said[0].startswith('Taking the columns "Premise" and "hypothesis" for pairs of texts')
    alone = choose_columns(names, list, **(given | {"text": "Premise"}))[0]
    assert alone == Columns(1, 3, None, None)
