"""The command-line contract of predict: pairs, JSON lines, and answers of every kind."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

from kerasft.export.layout import SIGNATURE, input_names
from kerasft.serving import predictor

NAMES = ("neg", "pos")
PAIR_LINES = ('{"text": "one", "text_pair": "two"}', '{"text_pair": "", "text": "", "id": 1}')


class FakeSignature:
    """A signature that answers with how long the texts are."""

    def __init__(self, kind, has_pairs):
        self.structured_input_signature = ((), dict.fromkeys(input_names(has_pairs)))
        self.structured_outputs = self.outputs = {
            "single": ("label", "score", "probabilities", "logits"),
            "multi": ("labels", "scores", "selected", "logits"),
            "number": ("value", "logits"),
        }[kind]

    def __call__(self, **inputs):
        value = tf.add_n([tf.strings.length(text) for text in inputs.values()])
        both = tf.stack([value, value], axis=1)
        row = {"label": tf.fill(value.shape, "pos"), "score": value, "value": value}
        return {name: row.get(name, both) for name in self.outputs}


@pytest.fixture
def model(monkeypatch):
    """Makes every path a model of this kind."""

    def make(kind="single", *, has_pairs=False):
        names = () if kind == "number" else NAMES
        signatures = {SIGNATURE: FakeSignature(kind, has_pairs)}
        fake = SimpleNamespace(signatures=signatures, label_names=tf.constant(names, tf.string))
        monkeypatch.setattr(predictor, "load_predictor", lambda path: predictor.Predictor(fake))

    return make


@pytest.fixture
def stdin(monkeypatch, tmp_path):
    """Makes a file with these lines stdin."""
    path = tmp_path / "stdin"
    path.touch()
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield lambda *lines: path.write_text("".join(f"{line}\n" for line in lines))


@pytest.fixture
def predict(command):
    def predict(*arguments):
        result = command("predict", "saved_models/m", *arguments)
        result.answers = [json.loads(line) for line in result.out.split("\n") if line]
        return result

    return predict


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("single", {"label": "pos", "score": 3, "probabilities": {"neg": 3, "pos": 3}}),
        ("multi", {"labels": ["neg", "pos"], "scores": {"neg": 3, "pos": 3}}),
        ("number", {"value": 3}),
    ],
)
def test_answers_of_each_kind(predict, model, kind, answer):
    model(kind)
    assert predict("one").answers == [{"text": "one"} | answer]


def test_a_pair_is_two_texts_after_pair(predict, model):
    model("number", has_pairs=True)
    assert predict("--pair", "one", "two", "--pair", "a\nb", "-").answers == [
        {"text": "one", "text_pair": "two", "value": 6},
        {"text": "a\nb", "text_pair": "-", "value": 4},
    ]


@pytest.mark.parametrize("arguments", [["-"], ["-", "--json-lines"]])
def test_stdin_holds_pairs_as_json_lines(predict, model, stdin, arguments):
    model("number", has_pairs=True)
    stdin(*PAIR_LINES)
    texts = [(answer["text"], answer["text_pair"]) for answer in predict(*arguments).answers]
    assert texts == [("one", "two"), ("", "")]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(["-"], r'{"text": "a\nb \ud83d"}'), (["-", "--json-lines"], "a\nb \ufffd")],
)
def test_lines_of_single_texts_are_texts_unless_told(predict, model, stdin, arguments, text):
    model()
    stdin(r'{"text": "a\nb \ud83d"}')
    assert [answer["text"] for answer in predict(*arguments).answers] == [text]


def test_a_line_that_is_no_object_is_2(predict, model, stdin):
    model(has_pairs=True)
    stdin(PAIR_LINES[0], "one\ttwo")
    result = predict("-")
    assert result.code == 2
    assert r"Line 2 is no JSON object with text and text_pair. Received: 'one\ttwo'" in result.err
    assert 'Expected: a line such as {"text": "...", "text_pair": "..."}' in result.err


def test_a_single_text_for_a_model_of_pairs_is_2(predict, model):
    model(has_pairs=True)
    result = predict("one")
    assert (result.code, result.out) == (2, "")
    assert "reads pairs of texts, and number 1 is a single text. Received: 'one'" in result.err
    assert "--pair TEXT TEXT_PAIR" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pair", "one", "two"], "and number 1 is a pair. Received: 'two'"),
        (["-", "--json-lines"], "and line 1 has a text_pair."),
    ],
)
def test_a_pair_for_a_model_of_single_texts_is_2(predict, model, stdin, arguments, message):
    model()
    stdin(*PAIR_LINES)
    result = predict(*arguments)
    assert (result.code, result.out) == (2, "")
    assert f"This model reads single texts, {message}" in result.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["one", "--pair", "a", "b"],
            "single texts or pairs, not both. Received: 'one --pair",
        ),
        (["-", "--pair", "a", "b"], "or from stdin, not from both. Received: '- --pair a b'"),
        (["one", "--json-lines"], "--json-lines is about stdin. Expected: - in place of texts"),
        (["--json-lines"], "There is no text to predict."),
        (["--pair", "a"], "expected 2 arguments"),
    ],
)
def test_mixtures_are_2_before_a_model_is_loaded(predict, arguments, message):
    result = predict(*arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
