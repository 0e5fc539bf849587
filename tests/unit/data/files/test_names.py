"""The names of labels: one for each however it is spelled, and those that cannot be learnt."""

from __future__ import annotations

import pytest

from kerasft.data.files.names import LabelNames, sort_names
from kerasft.errors import UserError


def test_numbers_are_sorted_as_numbers():
    assert sort_names(["10", "9", "-1"]) == ("-1", "9", "10")
    assert sort_names(["b", "10", "9"]) == ("10", "9", "b")
    assert sort_names(["10.0", "9.0"]) == ("9.0", "10.0")
    assert sort_names(["010", "9"]) == ("010", "9")


def test_equal_labels_are_one_in_every_split():
    labels = LabelNames({"1": 2, "0.0": 3, "1.0": 4})
    assert (labels.names, labels.counts) == (("0.0", "1"), {"1": 6, "0.0": 3})
    assert labels.merged == {"1": ["1", "1.0"]}
    assert [labels.find(word) for word in ("0", "1e0", "1.00", "2")] == [0, 1, 1, None]


def test_control_one_spelling_stays_as_it_is():
    spelled = ("True", "False", "cafe\u0301", "3.0")  # a model that exists has these names
    assert LabelNames(dict.fromkeys(spelled, 2)).names == sort_names(spelled)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": 9}, r"All training examples have one label.*'a'"),
        ({"1": 9, "1.0": 9}, r"All training examples have one label.*'1'"),
        (
            {f"n{n}": 1 for n in range(99)},
            r"99 of 99 labels.*n0, n1, n10, n11, n12, \.\.\..*--label NAME",
        ),
        ({str(n): 1 for n in range(40)}, r"40 of 40 labels.*--label-kind number"),
        ({f"1,{n:03d}": 1 for n in range(40)}, r"with thousands separators.*--label-kind number"),
        ({"a": 3, "b": 3, "c": 1}, r"1 of 3 labels.*add examples"),
        (dict.fromkeys(["true", "False", "0", "1"], 2), "0 and 1 in some rows, true and false in"),
        ({"a" * 99: 1, "b": 2}, rf"Received: '{'a' * 60}\.\.\.'"),
    ],
)
def test_labels_that_cannot_be_learnt_are_told(counts, message):
    with pytest.raises(UserError, match=message):
        LabelNames(counts).check(sum(counts.values()))


def test_label_sets_that_are_all_alike_are_told():
    for counts in ({"a": 5, "b": 5}, {"a": 0, "b": 5}, {"a": 0, "b": 0}):
        with pytest.raises(UserError, match="All training examples have one label"):
            LabelNames(counts).check(5)
    LabelNames({"a": 5, "b": 4}).check(5)  # control


def test_unseen_labels_are_told_with_their_rows_and_their_look_alikes():
    words = (["a", "z"], ["z"], ["b"], ["A\u200b"])
    cells = [(of_row, f"v.csv:{number}") for number, of_row in enumerate(words, start=2)]
    told = r"n.*z \(v\.csv:2, v\.csv:3\); A<U\+200B> \(v\.csv:5\), where train has a'.*one of a, b"
    with pytest.raises(UserError, match=told):
        LabelNames({"a": 2, "b": 2}).check_seen("validation", cells)
