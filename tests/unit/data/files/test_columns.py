"""Which column is what: named, guessed, or asked for."""

from __future__ import annotations

import pytest

from kerasft.data.files.columns import Columns, choose_columns
from kerasft.errors import UserError

SAMPLE = [(1, "a long text of several words", "x"), (2, "another long text", "y")]


def choose(names, sample=SAMPLE, **named):
    given = dict.fromkeys(("text", "label", "text_pair", "group")) | named
    return choose_columns(names, lambda: sample, **given)


@pytest.mark.parametrize(
    ("names", "named", "columns"),
    [
        (("id", "text", "label"), {}, Columns(1, 2, None, None)),
        (("Label", "REVIEW", "id"), {}, Columns(1, 0, None, None)),
        (("id", "words", "stars"), {}, Columns(1, 2, None, None)),  # by usual name, longest text
        (("id", "text", "verdict"), {"label": "verdict"}, Columns(1, 2, None, None)),
        (("id", "text", "label"), {"text": "label", "label": "id"}, Columns(2, 0, None, None)),
        (("a", "b", "c"), {"text": "b", "label": "c", "text_pair": "a"}, Columns(1, 2, 0, None)),
        (("a", "b", "c"), {"text": "b", "label": "c", "group": "a"}, Columns(1, 2, None, 0)),
        # A group is no label.
        (("text", "label", "c"), {"group": "label"}, Columns(0, 2, None, 1)),
        (("text", "verdict"), {}, Columns(0, 1, None, None)),  # the only column left
        (("id", "Premise", "hypothesis", "label"), {}, Columns(1, 3, 2, None)),
        (("Premise", "hypothesis", "label"), {"text": "Premise"}, Columns(0, 2, None, None)),
    ],
)
def test_columns(names, named, columns):
    assert choose(names, **named)[0] == columns


def test_a_guess_is_said_and_a_name_is_not():
    assert choose(("id", "text", "label"))[1] == [
        'Taking the column "text" for the text (--text).',
        'Taking the column "label" for the label (--label).',
    ]
    assert choose(("id", "text", "label"), text="text", label="label")[1] == []
    said = 'Taking the columns "premise" and "hypothesis" for pairs of texts (--text, --text-pair).'
    assert choose(("premise", "hypothesis", "y"))[1][0] == said


@pytest.mark.parametrize(
    ("names", "named", "message"),
    [
        (("id", "text", "label"), {"text": "txt"}, r'text_column: .*Did you mean "text".*id, text'),
        (("body", "text"), {"label": "bod"}, r'label_column: .*Did you mean "body".*of body, text'),
        (("id", "text", "label"), {"group": "user"}, r"group_column: there is no such column"),
        (("id", "text", "other"), {}, r"Which column holds the label\?.*id, text, other.*--label"),
        (("label", "text", "b"), {"text": "text", "label": "text"}, "cannot be two things.*'text'"),
        (("a", "label"), {}, r"Which column holds the text\?.*--text NAME"),
    ],
)
def test_what_cannot_be_chosen_is_told(names, named, message):
    with pytest.raises(UserError, match=message):
        choose(names, [(1, "a long text", 0)] if "text" in names else [(1, 0)], **named)
