"""Single cells: words, lists that are spelled out, numbers."""

from __future__ import annotations

import pytest

from kerasft.data.files.cells import as_list, as_number, as_plain_number


def test_a_list_in_json_or_as_python_prints_it():
    assert as_list('["a", 1]') == as_list(" ['a', 1]") == ["a", 1]


@pytest.mark.parametrize(
    "cell",
    ["a", "[a]", "[null]", '[["a"]]', '[""]', "[1", "[" * 10_000, 5, "[print(1)]"],
    ids=lambda cell: str(cell)[:10],
)
def test_control_no_list(cell):
    assert as_list(cell) == cell


@pytest.mark.parametrize("cell", ["1_0", "1e300", 10**400, b"1", "١"], ids=lambda c: str(c)[:10])
def test_what_is_a_number_to_python_alone_is_none(cell):
    assert as_number(cell) is None


def test_a_code_is_no_plain_number():
    assert [as_plain_number(word) for word in ("007", "0", "0.5")] == [None, 0.0, 0.5]
    assert as_number("007") == 7  # if the user says that they are numbers
