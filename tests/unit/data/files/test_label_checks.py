"""Labels that cannot be learnt, or that are not what the user says, are told."""

from __future__ import annotations

import pytest

from kerasft.data.files.labels import LabelCounts, check_header, check_seen, sort_names
from kerasft.errors import UserError


def count(cells, kind="auto", separator=None):
    counts = LabelCounts(kind, separator)
    for number, cell in enumerate(cells, start=2):
        counts.add(cell, f"a.csv:{number}")
    counts.check_mixture()
    return counts


def test_what_the_user_says_may_not_fit():
    with pytest.raises(UserError, match=r'label_kind="single", and the labels are lists.*csv:2'):
        count([["a"]], "single").detect()
    with pytest.raises(UserError, match=r"label_separator parts several labels.*has one.*';'"):
        count(["a"], "number", ";")


@pytest.mark.parametrize("cells", [["0.5", "n/a"], [*map(str, range(10_001)), "x"]], ids=len)
def test_numbers_beside_words_are_told_with_their_places(cells):
    with pytest.raises(UserError, match=r"mixes numbers and words.*number at a\.csv:2, a word at"):
        count(cells)


def test_control_a_few_whole_numbers_beside_words_are_classes():
    assert count(["1", "2", "unknown"]).detect() == ("single", None)
    assert count(["0.5", "n/a"], "single").detect() == ("single", None)


def test_memory_holds_ten_thousand_numbers_and_more_words_are_refused():
    counts = count([index / 3 for index in range(10_500)])
    assert counts.detect() == ("number", None)
    assert len(counts.cells) == 10_000
    with pytest.raises(UserError, match=r"more than 10,000 different labels.*--label NAME"):
        count([f"text {index}" for index in range(10_001)])
    with pytest.raises(UserError, match=r"more than 10,000 different labels"):
        count([[f"text {index}"] for index in range(10_001)])


@pytest.mark.parametrize("cells", [["a", "a"], ["1.5", "1.50"], [["a", "b"], ["b", "a"]]], ids=str)
def test_labels_that_are_all_alike_are_told(cells):
    with pytest.raises(UserError, match="All training examples have one label"):
        count(cells).check_variety()


def test_control_one_label_and_none_differ():
    counts = count([["a"], ["a"]])
    counts.add_nothing()
    counts.check_variety()


def test_a_header_that_is_a_row_is_told():
    with pytest.raises(UserError, match=r"first line looks like a row.*'pos'.*--label NAME"):
        check_header("pos", ("neg", "pos"))
    check_header("label", ("neg", "pos"))


def test_unseen_labels_are_told_with_their_rows():
    cells = [(["a", "z"], "v.csv:2"), (["z"], "v.csv:3"), (["b"], "v.csv:4")]
    with pytest.raises(UserError, match=r"validation.*z \(v\.csv:2, v\.csv:3\).*one of a, b"):
        check_seen("validation", cells, {"a": 0, "b": 1})


def test_numbers_with_a_point_are_sorted_as_numbers():
    assert sort_names(["10.0", "9.0"]) == ("9.0", "10.0")
    assert sort_names(["010", "9"]) == ("010", "9")
