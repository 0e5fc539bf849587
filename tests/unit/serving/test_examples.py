import json

import pytest

from kerasft.errors import UserError
from kerasft.serving.examples import parse_json_lines


def test_lines_of_objects():
    lines = ['{"text": "a\\nb", "id": 7}', None, ' {"text": "caf\u00e9", "text_pair": null} ']
    assert list(parse_json_lines(lines, has_pairs=False)) == ["a\nb", None, "caf\u00e9"]


def test_lines_of_pairs():
    lines = ['{"text_pair": "b", "text": "a", "label": 1}', None]
    assert list(parse_json_lines(lines, has_pairs=True)) == [("a", "b"), None]


def test_half_a_character_becomes_printable():
    line = json.dumps({"text": "half \ud83d of \U0001f600"})
    assert list(parse_json_lines([line], has_pairs=False)) == ["half \ufffd of \U0001f600"]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "a text",
        '"a"',
        "[1]",
        "{}",
        '{"text": 1}',
        '{"text": "a',
        "[" * 100_000,
        '{"Text": "a"}',
    ],
)
@pytest.mark.parametrize("has_pairs", [False, True])
def test_what_is_no_such_object(line, has_pairs):
    names = r"text and text_pair\." if has_pairs else r"text\."
    right = '{"text": "a", "text_pair": "b"}' if has_pairs else '{"text": "a"}'
    with pytest.raises(
        UserError, match=rf"Line 2 is no JSON object with {names}.*Expected: .*text"
    ):
        list(parse_json_lines([right, None, line], has_pairs=has_pairs))


def test_a_pair_that_lacks_its_second_text():
    message = r'Line 1 .* text and text_pair.*Expected: .*{"text": "...", "text_pair": "..."}'
    with pytest.raises(UserError, match=message):
        list(parse_json_lines(['{"text": "a"}'], has_pairs=True))


def test_a_pair_for_a_model_of_single_texts():
    with pytest.raises(UserError, match=r"single texts, and line 1 has a text_pair.*leave text_pa"):
        list(parse_json_lines(['{"text": "a", "text_pair": "b"}'], has_pairs=False))
