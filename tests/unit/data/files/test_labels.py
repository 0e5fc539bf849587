"""What label cells mean, and that labels which cannot be learnt, or are not as said, are told."""

from __future__ import annotations

from collections import Counter

import pytest

from kerasft.data.files.cells import as_number, as_word, as_words, is_missing
from kerasft.data.files.labels import LabelCounts, check_names, check_seen, sort_names
from kerasft.errors import UserError


def count(cells, kind="auto", separator=None):
    counts = LabelCounts(kind, separator)
    for number, cell in enumerate(cells, start=2):
        counts.add(cell, f"a.csv:{number}")
    counts.check_mixture()
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
        (['["a", "b"]', '["b"]'], "multi", None),
        (["['a', 'b']", "['b']", "[]"], "multi", None),
        (["[a]", "[b]"], "single", None),
        (["red|green", "red", "green|blue", "blue", "red|blue"], "multi", "|"),
        (["red;green", "red", "green;blue", "blue"], "multi", ";"),
        (["R&B|Soul", "x", "y"], "single", None),  # more words than cells: no separator
        (["a|", "b", "a"], "single", None),  # nothing on one side
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
    assert count(["1", "2"], "number").detect() == ("number", None)


@pytest.mark.parametrize("cells", [["a", ["b"]], [1, "two"], ["two", 2.5], [["a"], 1]], ids=str)
def test_a_mixture_is_told_with_its_places(cells):
    with pytest.raises(UserError, match=r"mixes kinds.* at a\.csv:2, .* at a\.csv:3"):
        count(cells)


def test_control_numbers_as_text_and_as_numbers_are_no_mixture():
    assert count([1, "2"]).names(None) == Counter({"1": 1, "2": 1})


@pytest.mark.parametrize(
    ("cell", "word"), [(5, "5"), (5.0, "5"), (" 5 ", "5"), (True, "true"), (2.5, "2.5")]
)
def test_as_word(cell, word):
    assert as_word(cell) == word


def test_as_words():
    assert as_words("b; a;;b ", ";") == ["b", "a"]
    assert as_words(["b", 1, "b"], None) == ["b", "1"]
    assert as_words("a;b", None) == ["a;b"]
    assert as_words("", ";") == []


@pytest.mark.parametrize("cell", [None, "", "  ", float("nan")])
def test_missing(cell):
    assert is_missing(cell)


@pytest.mark.parametrize("cell", ["0", 0, 0.0, False, []])
def test_control_not_missing(cell):
    assert not is_missing(cell)


def test_as_number():
    assert as_number(" 1e3 ") == 1000.0
    assert [as_number(cell) for cell in ("x", "1,5", "nan", "inf", True, [1])] == [None] * 6


def test_numbers_are_sorted_as_numbers():
    assert sort_names(["10", "9", "-1"]) == ("-1", "9", "10")
    assert sort_names(["b", "10", "9"]) == ("10", "9", "b")
    assert sort_names(["10.0", "9.0"]) == ("9.0", "10.0")
    assert sort_names(["010", "9"]) == ("010", "9")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"a": 9}, r"All training examples have one label.*'a'"),
        ({str(n): 1 for n in range(99)}, r"99 of 99 labels.*0, 1, 2, 3, 4, \.\.\..*--label NAME"),
    ],
)
def test_labels_that_cannot_be_learnt_are_told(counts, message):
    with pytest.raises(UserError, match=message):
        check_names(Counter(counts))


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


def test_unseen_labels_are_told_with_their_rows():
    cells = [(["a", "z"], "v.csv:2"), (["z"], "v.csv:3"), (["b"], "v.csv:4")]
    with pytest.raises(UserError, match=r"validation.*z \(v\.csv:2, v\.csv:3\).*one of a, b"):
        check_seen("validation", cells, {"a": 0, "b": 1})
