import json

import pytest

from kerasft.errors import UserError
from kerasft.serving.examples import parse_json_line


@pytest.mark.parametrize(
    ("line", "example"),
    [
        ('{"text": "a\\nb", "id": 7}', "a\nb"),
        (' {"text": "café", "text_pair": null} ', "café"),
        (json.dumps({"text": "half \ud83d of \U0001f600"}), "half \ufffd of \U0001f600"),
        ('{"text_pair": "b", "text": "a", "label": 1}', ("a", "b")),
    ],
)
def test_objects(line, example):
    assert parse_json_line(line, 1, has_pairs=isinstance(example, tuple)) == example


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a text", r"no JSON \(Expecting value: line 1"),
        ('"a"', "no JSON object"),
        ("[1]", "no JSON object"),
        ("{}", 'no string "text"'),
        ('{"text": 1}', 'no string "text"'),
        ('{"text": "a', r"no JSON \(Unterminated string"),
        ("[" * 100_000, "no JSON "),
        ('{"Text": "a"}', 'no string "text"'),
    ],
)
@pytest.mark.parametrize("has_pairs", [False, True])
def test_what_is_no_such_object(line, message, has_pairs):
    with pytest.raises(UserError, match=rf"stdin, line 2: {message}.*Expected: .*text"):
        parse_json_line(line, 2, has_pairs=has_pairs)


@pytest.mark.parametrize(
    ("has_pairs", "message"),
    [
        (True, r'line 1: no string "text_pair".*Expected: .*{"text": "...", "text_pair": "..."}'),
        (False, r"single texts, and line 1 has a text_pair.*leave text_pair out"),
    ],
)
def test_a_second_text_of_another_type_or_too_much(has_pairs, message):
    with pytest.raises(UserError, match=message):
        parse_json_line('{"text": "a", "text_pair": 5}', 1, has_pairs=has_pairs)
