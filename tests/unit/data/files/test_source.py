"""Files as a source: every row used or counted, labels settled by train, nothing silent."""

from __future__ import annotations

import json
import shutil
import time

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from kerasft.data.example import Example
from kerasft.data.files import table
from kerasft.data.files.source import FileSource
from kerasft.data.plan.splits import hash_text
from kerasft.errors import UserError

TRAIN = "text,label\na,pos\nb,neg\nc,pos\nd,neg\n"
CHANGED = r"data of train changed while it was read: .*train\.csv"


def test_classes(open_source):
    said = []
    source = open_source(TRAIN, log=said.append)
    assert said[0] == 'Taking the column "text" for the text (--text).'
    assert said[-1] == 'The labels in "label" are 2 classes: neg, pos.'
    assert (source.label_kind, source.label_names) == ("single", ("neg", "pos"))
    assert not source.has_pairs
    assert source.group_hashes("train") is None
    assert list(source.iterate("train"))[:2] == [Example(b"a", None, 1), Example(b"b", None, 0)]
    assert (source.num_examples("train"), source.num_bytes("train")) == (4, 4)
    assert source.has_split("train")
    assert not source.has_split("test")
    assert source.name == "train.csv"


def test_grades_are_classes_in_their_order_or_numbers(open_source):
    source = open_source("text,stars\n" + "a,10\nb,9\n" * 2)
    assert source.label_names == ("9", "10")
    assert any('For numbers in an order: data.label_kind="number"' in f for f in source.findings)
    source = open_source("text,stars\na,10\nb,9\n", label_kind="number")
    assert (source.label_kind, source.label_names) == ("number", ())
    assert [example.label for example in source.iterate("train")] == [10.0, 9.0]


def test_several_labels(open_source):
    source = open_source("text,tags\na,red|green\nb,red\nc,\nd,green|blue\ne,blue\n")
    assert source.label_names == ("blue", "green", "red")
    labels = [example.label for example in source.iterate("train")]
    assert labels == [(1, 2), (2,), (), (0, 1), (0,)]  # an empty cell: none applies
    assert source.num_examples("train") == 5


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        ("t.jsonl", '{"text": "a", "tags": ["x", "y"]}\n{"text": "b", "tags": []}\n' * 2),
        ("t.csv", "text,tags\na,\"['x', 'y']\"\nb,[]\nc,\"['x', 'y']\"\nd,\n"),
    ],
)
def test_several_labels_in_lists(open_source, name, lines):
    source = open_source(lines, name)
    assert source.label_names == ("x", "y")
    assert [example.label for example in source.iterate("train")] == [(0, 1), ()] * 2


def test_pairs(open_source):
    content = "a,b,label\nx,y,1\nz,w,0\np,q,1\nr,s,0\n"
    source = open_source(content, text_column="a", text_pair_column="b")
    assert source.has_pairs
    assert next(source.iterate("train")) == Example(b"x", b"y", 1)


def test_what_is_left_out_is_counted_by_reason_and_said(open_source):
    source = open_source(TRAIN + " ,pos\ne,\n,neg\n")
    assert source.num_dropped("train") == {"no text": 2, "no label": 1}
    assert "train: 2 rows left out: no text (train.csv:6, train.csv:8)." in source.findings
    assert "train: 1 row left out: no label (train.csv:7)." in source.findings
    assert len(list(source.iterate("train"))) == source.num_examples("train") == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\na,pos\nb,mixed\nc,mixed\n",
            r"Labels of validation that no.*mixed \(v\.csv:3, v\.csv:4\).*one of neg, pos",
        ),
        ("text,lable\na,b\n", r"v\.csv has no column 'label'.*Did you mean \"lable\""),
        ("text,label\n,pos\n", r"No row of validation can be used"),
    ],
)
def test_further_splits_that_do_not_fit_are_told(write, content, message):
    files = [write("v.csv", content)]
    with pytest.raises(UserError, match=message):
        FileSource(train_files=[write("t.csv", TRAIN)], validation_files=files)


HEADLESS = "great film,pos\nbad film,neg\ngood,pos\nworse,neg\nso,pos\n"


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text,label\n", {}, "has columns, and no rows"),
        ("text,label\n ,pos\nb,\n", {}, r"No row of .*can be used.*no text.*no label"),
        ("text,label\na,x\nb,x\n", {}, "All training examples have one label"),
        (TRAIN + "e,odd\n", {}, r"1 of 3 labels have fewer than two training .*'odd'.*merge"),
        (TRAIN, {"label_kind": "number"}, r"'pos' \(train\.csv:2\).*data\.label_kind=\"single\""),
        (TRAIN, {"text_column": "body"}, r"data\.text_column: there is no such column"),
        ("text,label\na,1e300\nb,2\n", {"label_kind": "number"}, r"'1e300' \(train\.csv:2\)"),
        (HEADLESS, {}, r"first line looks like a row.*'pos'.*--label NAME"),
    ],
)
def test_what_cannot_be_learnt_is_told(open_source, content, options, message):
    with pytest.raises(UserError, match=message):
        open_source(content, **options)


def test_control_who_names_the_columns_has_seen_them(open_source):
    source = open_source(HEADLESS, text_column="great film", label_column="pos")
    assert source.label_names == ("neg", "pos")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": ["a"], "label": "x"}', r"t\.jsonl:1: the text is a list"),
        ('{"text": 5, "label": "x"}', r"t\.jsonl:1: the text is a number"),
        ('{"text": true, "label": "x"}', r"t\.jsonl:1: the text is true or false"),
        ('{"text": "a\\ud800", "label": "x"}', r"t\.jsonl:1: the text holds half of a char"),
        ('{"text": "a", "label": "x\\ud83d"}', r"t\.jsonl:1: the label holds half of a char"),
        ('{"text": "a", "label": ["x\\ud83d"]}', r"t\.jsonl:1: the label holds half of a char"),
        ('{"text": "a", "label": "x", "by": "k\\ud83d"}', r"t\.jsonl:1: the group holds half of"),
        ('{"text": "a", "label": {"x": 1}}', r"t\.jsonl:1: the label is an object"),
        ('{"text": "a", "label": ["x", null]}', r"t\.jsonl:1: the label is a list.*or null"),
    ],
)
def test_cells_that_are_no_text_are_told(open_source, line, message):
    group = "by" if "by" in line else None
    with pytest.raises(UserError, match=message):
        open_source(f"{line}\n", "t.jsonl", label_column="label", group_column=group)


def test_the_fingerprint_changes_with_contents_and_columns(open_source):
    prints = {
        open_source(TRAIN).fingerprint("train"),
        open_source(TRAIN.replace("a,", "A,")).fingerprint("train"),
        open_source(TRAIN.replace("label", "title"), label_column="title").fingerprint("train"),
    }
    assert len(prints) == 3
    assert open_source(TRAIN).fingerprint("train") in prints


def test_groups_have_the_hash_of_their_name(write):
    content = "text,label,user\na,0,u\nb,1,v\n,1,w\nc,0,u\nd,1,\ne,1,\n"
    files = [write("train.csv", content)]
    source = FileSource(train_files=files, test_files=files, group_column="user")
    for split in ("train", "test"):
        hashes = [row.tobytes() for row in source.group_hashes(split)]
        assert hashes[:3] == [hash_text(b"u"), hash_text(b"v"), hash_text(b"u")]
        assert len(hashes) == source.num_examples(split) == 5
        assert len(set(hashes)) == 4  # two rows without a user are two groups
    said = "2 rows with no group: each text is a group of its own (train.csv:6, train.csv:7)."
    assert f"train: {said}" in source.findings


def test_equal_groups_are_one_however_they_are_spelled(write):
    rows = "a,0,12\nb,1,12.0\nc,0,caf\u00e9\nd,1,cafe\u0301\ne,1,012\n"
    lines = '{"text": "f", "label": 1, "by": 12}\n{"text": "g", "label": 0, "by": 12.5}'
    files = [write("a.csv", "text,label,by\n" + rows), write("b.jsonl", lines)]
    source = FileSource(train_files=files, group_column="by")
    groups = [row.tobytes() for row in source.group_hashes("train")]
    names = ("12", "12", "caf\u00e9", "caf\u00e9", "012", "12", "12.5")
    assert groups == [hash_text(name.encode()) for name in names]


def json_lines(*labels):
    return "".join(json.dumps({"text": f"t{i}", "label": x}) + "\n" for i, x in enumerate(labels))


def csv_of(*labels):
    return "text,label\n" + "".join(f"c{i},{label}\n" for i, label in enumerate(labels))


EQUAL_LABELS = {
    "integers and floats": ({"a.csv": csv_of(0, 1), "b.csv": csv_of("0.0", "1.0")}, "0 1"),
    "booleans": ({"a.csv": csv_of(True, False), "b.jsonl": json_lines(True, False)}, "false true"),
    "composed": (
        {"a.csv": csv_of("caf\u00e9", "x"), "b.csv": csv_of("cafe\u0301", "x")},
        "caf\u00e9 x",
    ),
    "long numbers": (
        {"a.csv": csv_of(*[10**18 + 1, 10**18 + 2] * 2)},
        f"{10**18 + 1} {10**18 + 2}",
    ),
}


@pytest.mark.parametrize(("files", "names"), EQUAL_LABELS.values(), ids=EQUAL_LABELS)
def test_equal_labels_are_one_class_however_they_are_spelled(write, files, names):
    paths = [write(name, content) for name, content in files.items()]
    source = FileSource(train_files=paths)
    assert source.label_names == tuple(names.split())
    assert sorted(example.label for example in source.iterate("train")) == [0, 0, 1, 1]
    merged = sum(" are one: " in finding for finding in source.findings)
    assert merged == (len(files) > 1) * (1 if "x" in names else 2)


def test_a_test_may_spell_its_labels_and_order_its_columns_otherwise(write):
    train = write("a.csv", csv_of(*["cafe\u0301", "bar"] * 2))
    tests = [write("b.csv", "label,text\ncaf\u00e9,a\nbar,b\n")]
    source = FileSource(train_files=[train], test_files=tests)
    assert source.label_names == ("bar", "cafe\u0301")  # as train spells it
    assert list(source.iterate("test")) == [Example(b"a", None, 1), Example(b"b", None, 0)]


def test_a_float32_is_named_by_its_own_digits(write, tmp_path):
    labels = pyarrow.array(np.float32([0.1, 0.2] * 2))
    table = pyarrow.table({"text": list("abcd"), "label": labels})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    files = [str(tmp_path / "a.parquet"), write("b.csv", csv_of("0.1", "0.2"))]
    assert FileSource(train_files=files, label_kind="single").label_names == ("0.1", "0.2")


@pytest.mark.parametrize("changed", [TRAIN + "e,pos\n", TRAIN.replace("d,neg", "d,new")])
def test_files_that_change_are_told(open_source, write, changed):
    source = open_source(TRAIN)
    write("train.csv", changed)
    with pytest.raises(UserError, match=CHANGED):
        list(source.iterate("train"))


@pytest.mark.parametrize("kind", ["rewritten", "replaced"])
def test_files_that_change_and_are_restored_are_told(open_source, write, tmp_path, kind):
    source, path = open_source(TRAIN), tmp_path / "train.csv"
    source.check_unchanged("train")
    if kind == "replaced":
        path.rename(tmp_path / "old.csv")
    write("train.csv", TRAIN.replace("pos", "neg"))
    if kind == "replaced":
        (tmp_path / "old.csv").rename(path)
    else:
        write("train.csv", TRAIN)
    with pytest.raises(UserError, match=CHANGED):
        source.check_unchanged("train")
    assert FileSource(train_files=[str(path)]).fingerprint("train") == source.fingerprint("train")


@pytest.mark.parametrize("seconds_ago", [0, 60])
def test_contents_are_compared_where_stamps_may_not_tell(
    open_source, write, monkeypatch, seconds_ago
):
    monkeypatch.setattr(table.Contents, "_read_stamps", lambda self: [(1, now)])
    now = time.time_ns() - seconds_ago * 10**9
    source = open_source(TRAIN)
    write("train.csv", TRAIN.replace("pos", "new"))
    if seconds_ago:
        source.check_unchanged("train")  # as one who is sure of the stamps
    else:
        with pytest.raises(UserError, match=CHANGED):
            source.check_unchanged("train")


def test_files_that_change_while_their_labels_are_counted_are_told(write, monkeypatch):
    scan = FileSource._scan_further

    def scan_and_change(source, split):
        scan(source, split)
        write("train.csv", TRAIN.replace("d,neg", "d,pos"))

    monkeypatch.setattr(FileSource, "_scan_further", scan_and_change)
    with pytest.raises(UserError, match=CHANGED):
        FileSource(train_files=[write("train.csv", TRAIN)], test_files=[write("t.csv", TRAIN)])


def test_a_class_that_is_removed_is_told(write, tmp_path):
    for name in ("good/1.txt", "good/2.txt", "bad/1.txt", "bad/2.txt"):
        write(f"films/{name}", name)
    source = FileSource(train_files=[str(tmp_path / "films")])
    shutil.rmtree(tmp_path / "films" / "good")
    for read in (lambda split: list(source.iterate(split)), source.check_unchanged):
        with pytest.raises(UserError, match=r"films/good cannot be read: No such file"):
            read("train")


LABELS = ("toxic", "insult", "threat")
FLAGS = [(i % 2, int(i % 3 == 0), int(i % 5 == 0)) for i in range(30)]


def flagged(one="1", zero="0", **changes):
    """A table with a column of 0 and 1 for each label; `changes` are rows, such as `r7="2,0,0"`."""
    cells = {f"r{i}": ",".join(one if f else zero for f in row) for i, row in enumerate(FLAGS)}
    rows = (f"{name},comment {name},{cell}\n" for name, cell in (cells | changes).items())
    return "id,text,toxic,insult,threat\n" + "".join(rows)


def words_of(source, split):
    return [{source.label_names[i] for i in example.label} for example in source.iterate(split)]


@pytest.mark.parametrize(("zero", "one"), [("0", "1"), ("false", "TRUE"), ("0.0", "1.0")])
def test_a_column_for_each_label(open_source, write, zero, one):
    test = write("test.csv", "text,threat,toxic,insult\nanother comment,1,0,0\nmore,0,1,1\n")
    content = flagged(one, zero)
    source = open_source(content, label_columns=LABELS, test_files=[test])
    assert (source.label_kind, source.label_names) == ("multi", ("insult", "threat", "toxic"))
    expected = [{name for name, flag in zip(LABELS, row, strict=True) if flag} for row in FLAGS]
    assert words_of(source, "train") == expected
    assert words_of(source, "test") == [{"threat"}, {"toxic", "insult"}]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        *(
            (flagged(r7=cells), {}, r"train\.csv:9: the label column toxic holds neither")
            for cells in ("2,0,0", ",0,0", "yes,0,0", "0.5,0,0")
        ),
        (flagged().replace(",1\n", ",0\n"), {}, r"fewer than two training examples.*'threat'"),
        (flagged(), {"text_column": "toxic"}, r"cannot be two things.*'toxic'"),
        (
            flagged(),
            {"label_columns": ("toxic", "insolt")},
            r'no such column. Did you mean "insult"',
        ),
    ],
)
def test_columns_of_labels_that_cannot_be_read_are_told(open_source, content, options, message):
    with pytest.raises(UserError, match=message):
        open_source(content, **{"label_columns": LABELS, **options})
