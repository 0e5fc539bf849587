"""What a predictor answers by the kind of model, to single texts and to pairs."""

import json

import pytest

from kerasft.errors import UserError
from kerasft.serving.predictor import load_predictor


@pytest.fixture(scope="module")
def predictor_of(model_of):
    return lambda *kind: load_predictor(model_of(*kind))


@pytest.mark.parametrize(
    ("kind", "names", "answer"),
    [
        (
            "single",
            ("short", "long"),
            {"label": "long", "score": 6.0, "probabilities": {"short": 6.0, "long": -6.0}},
        ),
        ("multi", ("short", "long"), {"labels": ["short"], "scores": {"short": 6.0, "long": -6.0}}),
        ("number", (), {"value": 6.0}),
    ],
)
def test_answers_of_each_kind(predictor_of, kind, names, answer):
    predictor = predictor_of(kind)
    assert (predictor.kind, predictor.has_pairs, predictor.label_names) == (kind, False, names)
    answers = predictor.predict(["longer", ""])
    assert answers[0] == {"text": "longer"} | answer
    assert list(answers[0]) == ["text", *answer]
    assert json.loads(json.dumps(answers)) == answers
    pairs = predictor_of(kind, True)
    assert (pairs.kind, pairs.has_pairs, pairs.label_names) == (kind, True, names)
    paired = pairs.predict(["long", "a"], ["er", "b"])
    assert paired[0] == {"text": "long", "text_pair": "er"} | answer
    assert list(paired[0]) == ["text", "text_pair", *answer]


def test_no_label_one_label_and_several(predictor_of):
    answers = predictor_of("multi").predict(["none", "some..", "all of them"])
    assert [answer["labels"] for answer in answers] == [[], ["short"], ["short", "long"]]


WRONG_CALLS = [
    (
        True,
        [["a"]],
        r"reads pairs of texts, and number 1 is a single text. Received: 'a'. Expected: a text "
        r"and a text_pair. Fix: .*--pair TEXT TEXT_PAIR, .* predict\(texts, text_pairs\)",
    ),
    (
        False,
        [["a"], ["b"]],
        r"reads single texts, and number 1 is a pair. Received: 'b'.*Fix: leave text_pair out",
    ),
    (True, [["a", "b"], ["c"]], r"needs one text_pair. Received: '2 texts and 1 text_pairs'"),
    (True, [["a"], "b c"], r"`text_pairs` must be several texts. Received: 'b c'"),
    (False, ["a b"], r"several texts.*Received: 'a b'.*a list of strings.*into a list"),
    (False, [b"a b"], r"several texts.*Received: b'a b'"),
    *(
        (False, [["a", wrong]], f"Text number 2 is not a text. Received: '{type(wrong).__name__}'")
        for wrong in (None, float("nan"), 3, b"bytes")
    ),
]


@pytest.mark.parametrize(("has_pairs", "arguments", "message"), WRONG_CALLS)
def test_wrong_calls(predictor_of, has_pairs, arguments, message):
    with pytest.raises(UserError, match=message):
        predictor_of("single", has_pairs).predict(*arguments)
