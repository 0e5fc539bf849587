"""Files as a source: every row used or counted, labels settled by train, nothing silent."""

from __future__ import annotations

import csv
import io
import json

import hypothesis
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import strategies as st

from kerasft.data.example import Example
from kerasft.data.files.source import FileSource
from kerasft.data.plan.splits import hash_text
from kerasft.errors import UserError

TRAIN = "text,label\na,pos\nb,neg\nc,pos\nd,neg\n"


def test_classes(open_source):
    source = open_source(TRAIN)
    assert (source.label_kind, source.label_names, source.has_pairs) == (
        "single",
        ("neg", "pos"),
        False,
    )
    assert list(source.iterate("train"))[:2] == [Example(b"a", None, 1), Example(b"b", None, 0)]
    assert (source.num_examples("train"), source.num_bytes("train")) == (4, 4)
    assert source.has_split("train")
    assert not source.has_split("test")
    assert source.name == "train.csv"


def test_grades_are_classes_in_their_order_and_it_is_said(open_source):
    source = open_source("text,stars\n" + "a,10\nb,9\n" * 2)
    assert source.label_names == ("9", "10")
    assert any('For numbers in an order: data.label_kind="number"' in f for f in source.findings)


def test_grades_as_numbers(open_source):
    source = open_source("text,stars\na,10\nb,9\n", label_kind="number")
    assert (source.label_kind, source.label_names) == ("number", ())
    assert [example.label for example in source.iterate("train")] == [10.0, 9.0]


def test_several_labels(open_source):
    source = open_source("text,tags\na,red|green\nb,red\nc,\nd,green|blue\ne,blue\n")
    assert source.label_names == ("blue", "green", "red")
    labels = [example.label for example in source.iterate("train")]
    assert labels == [(1, 2), (2,), (), (0, 1), (0,)]  # an empty cell: none applies
    assert source.num_examples("train") == 5


def test_several_labels_in_lists(open_source):
    lines = '{"text": "a", "tags": ["x", "y"]}\n{"text": "b", "tags": []}\n'
    source = open_source(lines * 2, "train.jsonl")
    assert [example.label for example in source.iterate("train")] == [(0, 1), ()] * 2


def test_pairs(open_source):
    source = open_source(
        "a,b,label\nx,y,1\nz,w,0\n" * 1 + "p,q,1\nr,s,0\n", text_column="a", text_pair_column="b"
    )
    assert source.has_pairs
    assert next(source.iterate("train")) == Example(b"x", b"y", 1)


def test_what_is_left_out_is_counted_by_reason_and_said(open_source):
    source = open_source(TRAIN + " ,pos\ne,\n,neg\n")
    assert source.num_dropped("train") == {"no text": 2, "no label": 1}
    assert "train: 2 rows left out: no text (train.csv:6, train.csv:8)." in source.findings
    assert "train: 1 row left out: no label (train.csv:7)." in source.findings
    assert len(list(source.iterate("train"))) == source.num_examples("train") == 4


def test_guesses_and_kinds_are_announced(open_source):
    said = []
    open_source(TRAIN, log=said.append)
    assert said[0] == 'Taking the column "text" for the text (--text).'
    assert said[-1] == 'The labels in "label" are 2 classes: neg, pos.'


def test_further_splits_may_order_their_columns_otherwise(write):
    source = FileSource(
        train_files=[write("t.csv", TRAIN)], test_files=[write("e.csv", "label,text\nneg,z\n")]
    )
    assert list(source.iterate("test")) == [Example(b"z", None, 0)]


def test_labels_that_train_has_not_are_told_with_their_rows(write):
    files = [write("v.csv", "text,label\na,pos\nb,mixed\nc,mixed\n")]
    expected = r"Labels of validation that no.*mixed \(v\.csv:3, v\.csv:4\).*one of neg, pos"
    with pytest.raises(UserError, match=expected):
        FileSource(train_files=[write("t.csv", TRAIN)], validation_files=files)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("text,label\n", {}, "has columns, and no rows"),
        ("text,label\n ,pos\nb,\n", {}, r"No row of .*can be used.*no text.*no label"),
        ("text,label\na,x\nb,x\n", {}, "All training examples have one label"),
        (TRAIN + "e,odd\n", {}, r"1 of 3 labels have fewer than two training .*'odd'.*merge"),
        (TRAIN, {"label_kind": "number"}, r"'pos' \(train\.csv:2\).*data\.label_kind=\"single\""),
        (TRAIN, {"text_column": "body"}, r"data\.text_column: there is no such column"),
    ],
)
def test_what_cannot_be_learnt_is_told(open_source, content, options, message):
    with pytest.raises(UserError, match=message):
        open_source(content, **options)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": ["a"], "label": "x"}', r"t\.jsonl:1: the text is a list"),
        ('{"text": 5, "label": "x"}', r"t\.jsonl:1: the text is a number"),
        ('{"text": true, "label": "x"}', r"t\.jsonl:1: the text is true or false"),
        ('{"text": "a\\ud800", "label": "x"}', r"t\.jsonl:1: the text holds half of a char"),
        ('{"text": "a", "label": "x\\ud83d"}', r"t\.jsonl:1: the label holds half of a char"),
        ('{"text": "a", "label": ["x\\ud83d"]}', r"t\.jsonl:1: the label holds half of a char"),
        ('{"text": "a", "label": {"x": 1}}', r"t\.jsonl:1: the label is an object"),
        ('{"text": "a", "label": ["x", null]}', r"t\.jsonl:1: the label is a list.*or null"),
    ],
)
def test_cells_that_are_no_text_are_told(open_source, line, message):
    with pytest.raises(UserError, match=message):
        open_source(f"{line}\n", "t.jsonl", text_column="text", label_column="label")


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


def test_half_a_character_in_a_group_is_told(open_source):
    with pytest.raises(UserError, match=r"t\.jsonl:1: the group holds half of a character"):
        open_source('{"text": "a", "label": "x", "by": "k\\ud83d"}\n', "t.jsonl", group_column="by")


def test_equal_groups_are_one_however_they_are_spelled(write):
    files = [
        write("a.csv", "text,label,by\na,0,12\nb,1,12.0\nc,0,caf\u00e9\nd,1,cafe\u0301\ne,1,012\n"),
        write(
            "b.jsonl", '{"text": "f", "label": 1, "by": 12}\n{"text": "g", "label": 0, "by": 12.5}'
        ),
    ]
    source = FileSource(
        train_files=files, text_column="text", label_column="label", group_column="by"
    )
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
    "exponents": ({"a.csv": csv_of("1e3", 5), "b.csv": csv_of(1000, "5.")}, "5 1000"),
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


def test_a_label_of_a_test_may_be_spelled_otherwise(write):
    train = write("a.csv", csv_of(*["cafe\u0301", "bar"] * 2))
    tests = [write("b.csv", csv_of("caf\u00e9", "bar"))]
    source = FileSource(train_files=[train], test_files=tests)
    assert source.label_names == ("bar", "cafe\u0301")  # as train spells it
    assert [example.label for example in source.iterate("test")] == [1, 0]


def test_a_float32_is_named_by_its_own_digits(write, tmp_path):
    labels = pyarrow.array(np.float32([0.1, 0.2] * 2))
    table = pyarrow.table({"text": list("abcd"), "label": labels})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    files = [str(tmp_path / "a.parquet"), write("b.csv", csv_of("0.1", "0.2"))]
    assert FileSource(train_files=files, label_kind="single").label_names == ("0.1", "0.2")


def test_without_a_group_column_there_are_no_groups(open_source):
    assert open_source(TRAIN).group_hashes("train") is None


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
cells = st.one_of(words, st.sampled_from(["pos", "neg", "1", "2", "0.5", "a|b", "", " "]))


@hypothesis.settings(
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
    max_examples=150,
)
@hypothesis.given(rows=st.lists(st.tuples(words, cells), max_size=30))
@hypothesis.example(rows=[("a\rb", "x"), ("c", "x"), ("d", "y"), ("e", "y")])
@hypothesis.example(rows=[('"', "x"), ("\n", "x"), ("d", "y"), ("e", "y")])
def test_a_table_is_read_wholly_or_refused(write, rows):
    """No row is lost unreported, whatever is in its cells."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["text", "label"])
    writer.writerows(rows)
    try:
        source = FileSource(train_files=[write("t.csv", text.getvalue())])
    except UserError:
        return
    examples = list(source.iterate("train"))
    assert len(examples) == source.num_examples("train")
    assert len(examples) + sum(source.num_dropped("train").values()) == len(rows)
    used = [cell for cell, _ in rows if cell.strip()]
    if not source.num_dropped("train").get("no label"):
        assert [example.text.decode() for example in examples] == used


class TestAColumnForEachLabel:
    COLUMNS = ("toxic", "insult", "threat")

    def content(self, **changes):
        cells = {i: f"{i % 2},{int(i % 3 == 0)},{int(i % 5 == 0)}" for i in range(30)} | changes
        lines = [f"{i},comment {i},{cells[i]}" for i in range(30)]
        return "\n".join(["id,text,toxic,insult,threat", *lines]) + "\n"

    def test_each_text_has_the_labels_whose_columns_hold_1(self, open_source):
        source = open_source(self.content(), label_columns=self.COLUMNS)
        assert (source.label_kind, source.label_names) == ("multi", ("insult", "threat", "toxic"))
        found = [{source.label_names[i] for i in e.label} for e in source.iterate("train")]
        assert found[0] == {"insult", "threat"}
        assert found[1] == {"toxic"}
        assert found[2] == set()
        assert len(found) == 30

    @pytest.mark.parametrize("cell", ["2,0,0", ",0,0", "yes,0,0", "0.5,0,0"])
    def test_other_cells_are_refused_with_their_place(self, open_source, cell):
        with pytest.raises(UserError, match=r"train\.csv:9: the label column toxic holds neither"):
            open_source(
                self.content().replace("7,comment 7,1,0,0", f"7,comment 7,{cell}"),
                label_columns=self.COLUMNS,
            )

    @pytest.mark.parametrize("spelling", [("0", "1"), ("false", "true"), ("0.0", "1.0")])
    def test_spellings_of_0_and_1(self, open_source, spelling):
        zero, one = spelling
        header, *lines = self.content().splitlines()
        rows = [line.split(",") for line in lines]
        rows = [[*row[:2], *(one if c == "1" else zero for c in row[2:])] for row in rows]
        content = "\n".join([header, *map(",".join, rows)]) + "\n"
        source = open_source(content, label_columns=self.COLUMNS)
        plain = open_source(self.content(), label_columns=self.COLUMNS)
        assert list(source.iterate("train")) == list(plain.iterate("train"))

    def test_a_label_that_never_applies_is_named(self, open_source):
        content = self.content().replace(",1\n", ",0\n")
        with pytest.raises(UserError, match=r"fewer than two training examples.*'threat'"):
            open_source(content, label_columns=self.COLUMNS)

    def test_a_test_file_without_one_is_named(self, open_source, write):
        test = write("test.csv", "text,toxic,insult\nanother comment,1,0\n")
        with pytest.raises(UserError, match=r"test\.csv: data\.label_columns: .*'threat'"):
            open_source(self.content(), label_columns=self.COLUMNS, test_files=[test])

    def test_a_label_is_no_text(self, open_source):
        with pytest.raises(UserError, match=r"cannot be two things.*'toxic'"):
            open_source(self.content(), label_columns=self.COLUMNS, text_column="toxic")

    def test_a_column_that_is_not_there(self, open_source):
        with pytest.raises(UserError, match=r'label_columns: there is no such.*mean "insult"'):
            open_source(self.content(), label_columns=("toxic", "insolt"))

    def test_the_further_splits_have_them_in_any_order(self, open_source, write):
        test = write("test.csv", "text,threat,toxic,insult\nanother comment,1,0,0\nmore,0,1,1\n")
        source = open_source(self.content(), label_columns=self.COLUMNS, test_files=[test])
        found = [{source.label_names[i] for i in e.label} for e in source.iterate("test")]
        assert found == [{"threat"}, {"toxic", "insult"}]
