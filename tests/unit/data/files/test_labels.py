"""What label cells mean, and that labels which cannot be learnt, or are not as said, are told."""

from __future__ import annotations

from collections import Counter

import pytest

from kerasft.data.files.labels import LabelCounts
from kerasft.errors import UserError


def count(cells, kind="auto", separator=None):
    counts = LabelCounts(kind, separator)
    for number, cell in enumerate(cells, start=2):
        counts.add(cell, f"a.csv:{number}")
    counts.detect()
    return counts


@pytest.mark.parametrize(
    ("cells", "kind", "separator"),
    [
        (["pos", "neg"] * 5, "single", None),
        (["1", "2", "5"] * 5, "single", None),
        ([1, 2, 5] * 5, "single", None),
        ([True, False], "single", None),
        (["1.0", "2.0"] * 3, "single", None),
        (["0.5", "2"], "number", None),
        ([str(number) for number in range(51)], "number", None),
        ([str(number) for number in range(50)], "single", None),
        ([str(number) for number in range(77)] * 5, "single", None),  # rows enough of each
        ([str(number) for number in range(77)] * 4, "number", None),
        ([str(number) for number in range(501)] * 5, "number", None),
        ([f"{number:05d}" for number in range(60)], "single", None),  # postcodes
        (["1_0", "2_5"], "single", None),  # numbers to Python alone
        ([["a"], ["a", "b"], []], "multi", None),
        (['["a", "b"]', "['b']", "['b'\n 'c']", "[]"], "multi", None),
        (["[a]", "(b)"], "single", None),
        (["red|green", "red", "green|blue", "blue", "red|blue"], "multi", "|"),
        (["red;green", "red", "green;blue", "blue"], "multi", ";"),
        (["R&B|Soul", "x", "y"], "single", None),  # more words than cells: no separator
        (["a|", "b", "a"], "single", None),  # nothing on one side
        (["a|", "|b", "a|b|", "a"] * 3, "multi", "|"),
        (["a|", "|b", "a||b", "a"] * 3, "single", None),  # nothing between
        (["[1 2]", "[2]"], "multi", None),
        (["1234567890123456789", "1234567890123456790"], "single", None),
        (["1,000", "12,5", "$5.50"], "single", None),
        (["a,b", "a", "b", "b,a"], "single", None),  # commas stand in names, too
        (["a|b", "a", "b"] + ["c"] * 40, "single", None),  # too rare to be sure
    ],
)
def test_detect(cells, kind, separator):
    assert count(cells).detect() == (kind, separator)


def test_what_the_user_says_counts_more():
    cells = ["red|green", "red", "green|blue", "blue", "red|blue"]
    assert count(cells, "single").detect() == ("single", None)
    assert count(cells, "multi", ",").detect() == ("multi", ",")
    assert count(["a,b", "c"], "multi").detect() == ("multi", ",")
    assert count(["a", "c"], "multi").detect() == ("multi", None)
    assert count(["a,b", "a"], "auto", ",").detect() == ("multi", ",")
    assert count(["a;b;", "a;;b"], "multi").detect() == ("multi", ";")
    assert count([f"{index:07d}" for index in range(10_001)], "number").detect()[0] == "number"
    assert count(["[0, 1, 1]", "[1, 0, 0]"], "single").detect() == ("single", None)


@pytest.mark.parametrize("cells", [["a", ["b"]], [1, "two"], ["two", 2.5], [["a"], 1]], ids=str)
def test_a_mixture_is_told_with_its_places(cells):
    with pytest.raises(UserError, match=r"mixes kinds.* at a\.csv:2, .* at a\.csv:3"):
        count(cells)


def test_control_numbers_as_text_and_as_numbers_are_no_mixture():
    assert count([1, "2"]).names(None) == Counter({"1": 1, "2": 1})


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
    words = [f"text {index}" for index in range(10_001)]
    for cells, kind in (
        (words, "auto"),
        ([[word] for word in words], "auto"),
        (range(10_001), "single"),
    ):
        with pytest.raises(UserError, match=r"more than 10,000 different labels.*--label NAME"):
            count(cells, kind)


VECTORS = {
    "lists": [[0, 1, 1], [1, 0, 0]],
    "booleans": [[True, True], [False, True]],
    "JSON": ["[0, 1, 1]", "[1, 0, 0]"],
    "NumPy": ["[0 1 1]", "[1 0\n 0]"],
    "NumPy's floats": ["[0. 1. 1.]", "[1. 0. 0.]"],
    "tuples": ["(0, 1, 1)", "(1, 0, 0)"],
    "commas": ["0,1,1", "1,0,0"],
    "blanks": ["0 1 1", "1 0 0"],
    "separators": ["0;1;1", "1;0;0"],
}


@pytest.mark.parametrize("cells", VECTORS.values(), ids=VECTORS)
@pytest.mark.parametrize("kind", ["auto", "multi"])
def test_positions_are_no_labels(cells, kind):
    with pytest.raises(UserError, match=r"vectors of 0 and 1.*a\.csv:2.*--label toxic insult"):
        count(cells, kind)


@pytest.mark.parametrize(
    "cells", [[[0], [0, 1], []], ["[0]", "[1, 0]"], ["0", "1"], ["0 1", "0 2"], [["1", "1"], ["2"]]]
)
def test_control_lists_of_the_labels_0_and_1(cells):
    assert count(cells)
