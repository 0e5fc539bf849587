"""Single cells: missing, words and their one spelling, lists that are spelled out, numbers."""

from __future__ import annotations

import datetime
import decimal

import numpy as np
import pytest

from kerasft.data.files.cells import (
    as_list,
    as_number,
    as_plain_number,
    as_word,
    as_words,
    fold,
    how_written,
    is_missing,
    plain,
    show,
)

MISSING = (None, "", "  ", float("nan"), "\N{ZERO WIDTH SPACE}", " \ufeff ", "\N{NO-BREAK SPACE}")


def test_missing():
    assert all(map(is_missing, MISSING))
    assert not any(map(is_missing, ["0", 0, 0.0, False, [], "nan", "None", "a\u200b"]))  # control


def test_as_word():
    cells = [5, 5.0, -0.0, " 5 ", True, 2.5, 0.1, float(np.float32(0.1))]
    words = [as_word(cell) for cell in [*cells, decimal.Decimal("1.50"), datetime.date(2026, 3, 1)]]
    assert words == ["5", "5", "0", "5", "true", "2.5", "0.1", "0.1", "1.50", "2026-03-01"]


@pytest.mark.parametrize(
    "equal",
    [
        ("1", "1.0", "1.00", "+1", "1e0", "10e-1"),
        ("0", "-0.0", "0e5"),
        ("1000", "1e3"),
        ("true", "True", "TRUE"),
        ("caf\u00e9", "cafe\u0301"),
    ],
    ids=ascii,
)
def test_equal_words_have_one_spelling(equal):
    assert {plain(word) for word in equal} == {equal[0]}


def test_control_other_words_keep_theirs():
    words = ["007", "1.10", "1.1", "Yes", "yes", "\N{ARABIC-INDIC DIGIT ONE}", "1_0", "1e99"]
    words += ["1234567890123456789", "1234567890123456790", "pos\u200b", "ﬁn", "fin"]
    assert [plain(word) for word in words] == words


def test_look_alikes_are_folded_alike_and_shown():
    assert {fold(word) for word in ("New York", "new york", "NEW\u00a0YORK", "newyork\u200b")} == {
        "newyork"
    }
    assert fold("neg") != fold("pos")
    assert show("ne\u00a0g\u200b") == "ne<U+00A0>g<U+200B>"
    assert show("caf\u00e9 au lait") == "caf\u00e9 au lait"
    assert show("x" * 100) == "x" * 60 + "..."


def test_as_words():
    assert as_words("b; a;;b ", ";") == ["b", "a"]
    assert as_words(["b", 1, "b"], None) == ["b", "1"]
    assert as_words("a;b", None) == ["a;b"]
    assert as_words("", ";") == []


@pytest.mark.parametrize(
    ("items", "spellings"),
    [
        (["a", 1], ['["a", 1]', " ['a', 1]", "('a', 1)"]),
        (["a", "b c"], ["['a' 'b c']", "['a'\n 'b c']", "['a' \"b c\"]"]),
        (["a", "it's"], ["['a' 'it\\'s']", """['a' "it's"]"""]),
        ([0, 1, 1], ["[0 1\n 1]"]),
        ([0.5, -1], ["[ 0.5 -1. ]"]),
        (["a b 1 2", "c"], ['["a b 1 2", "c"]']),
        (["a"], ["{'a'}", "('a',)"]),
        (["a", "b c"], ["[a, b c]", "{a,b c}"]),
        ([], ["[]", "{}"]),
    ],
)
def test_a_list_as_programs_write_it(items, spellings):
    assert [as_list(cell) for cell in spellings] == [items] * len(spellings)


def test_control_no_list():
    cells = ["a", "[a]", "[a b]", "[null]", '[["a"]]', '[""]', "[1", "[" * 10_000, 5, "[print(1)]"]
    cells += ["(a)", "(1)", "{'a': 1}", "{a: 1}", "[b'a' b'b']", "[a, ]"]
    assert [as_list(cell) for cell in cells] == cells


def test_as_number():
    assert as_number(" 1e3 ") == as_number(decimal.Decimal("1000.0")) == 1000.0
    none = ["x", "1,5", "nan", "inf", True, [1]]
    none += ["1_0", "1e300", 10**400, b"1", "١"]  # numbers to Python alone
    assert [as_number(cell) for cell in none] == [None] * len(none)


def test_a_code_is_no_plain_number():
    assert [as_plain_number(word) for word in ("007", "0", "0.5")] == [None, 0.0, 0.5]
    assert as_number("007") == 7  # if the user says that they are numbers


SEPARATORS = "thousands separators or decimal commas"


@pytest.mark.parametrize(
    ("words", "how"),
    [
        (["1,000", "2", "1,234,567.5"], SEPARATORS),
        (["12,5", "-0,25"], SEPARATORS),
        (["1 000", "1'000", "1.000.000,5"], SEPARATORS),
        (["$5.50", "$1,000", "-$3", "USD 7"], "currencies"),
        (["5 €", "5,50€", "7 EUR"], "currencies"),
        (["12%", "12.5 %"], "percent signs"),
        (["$5", "1,000"], f"currencies and {SEPARATORS}"),
        (["\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}"], "digits other than 0 to 9"),
        (["1", "2.5"], None),
        (["1,000", "many"], None),
        (["00501", "00502"], None),
        (["#1", "v2", "1:2", "2024-01-02", "GPT 4"], None),
    ],
)
def test_numbers_as_people_write_them(words, how):
    assert how_written(words) == how
