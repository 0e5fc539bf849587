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


def test_an_older_export_has_no_score(saved_models):
    predictor = load_predictor(saved_models / "imdb")
    assert (predictor.kind, predictor.has_pairs) == ("single", False)
    assert list(predictor.predict(["a"])[0]) == ["text", "label", "probabilities"]


def test_a_stream_of_pairs_keeps_its_order(predictor_of):
    pairs = [("x" * (index * 7919 % 97), "y" * (index % 5)) for index in range(300)]
    answers = list(predictor_of("number", True).predict_stream([*pairs[:100], None, *pairs[100:]]))
    assert [(answer["text"], answer["text_pair"]) for answer in answers] == pairs
    assert [answer["value"] for answer in answers] == [len(a) + len(b) for a, b in pairs]


def test_a_single_text_where_pairs_are_read(predictor_of):
    message = (
        r"reads pairs of texts, and number 1 is a single text. Received: 'a'. Expected: a text "
        r"and a text_pair. Fix: .*--pair TEXT TEXT_PAIR, .* predict\(texts, text_pairs\)"
    )
    with pytest.raises(UserError, match=message):
        predictor_of("single", True).predict(["a"])
    stream = predictor_of("single", True).predict_stream([("a", "b"), None, "c"])
    assert next(stream)["text_pair"] == "b"
    with pytest.raises(UserError, match=r"number 2 is a single text. Received: 'c'"):
        next(stream)


def test_a_pair_where_single_texts_are_read(predictor_of):
    message = r"reads single texts, and number 1 is a pair. Received: 'b'.*Fix: leave text_pair out"
    with pytest.raises(UserError, match=message):
        predictor_of("single").predict(["a"], ["b"])


def test_texts_without_their_pairs(predictor_of):
    with pytest.raises(UserError, match=r"needs one text_pair. Received: '2 texts and 1 text_pai"):
        predictor_of("single", True).predict(["a", "b"], ["c"])
    with pytest.raises(UserError, match=r"`text_pairs` must be several texts. Received: 'b c'"):
        predictor_of("single", True).predict(["a"], "b c")
