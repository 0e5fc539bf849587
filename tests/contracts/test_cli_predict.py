"""The command-line contract of predict: pairs, JSON lines, and answers of every kind."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import tensorflow as tf

from kerasft.export.layout import SIGNATURE, input_names
from kerasft.serving import predictor

PAIR_LINES = ('{"text": "one", "text_pair": "two"}', '{"text_pair": "", "text": "", "id": 1}')


class FakeSignature:
    """A signature of numbers: how long the texts are."""

    structured_outputs = ("value", "logits")

    def __init__(self, has_pairs):
        self.structured_input_signature = ((), dict.fromkeys(input_names(has_pairs)))

    def __call__(self, **inputs):
        value = tf.add_n([tf.strings.length(text) for text in inputs.values()])
        return {"value": value, "logits": value[:, tf.newaxis]}


@pytest.fixture
def model(monkeypatch):
    """Makes every path a model of numbers."""

    def make(*, has_pairs=False):
        signatures = {SIGNATURE: FakeSignature(has_pairs)}
        fake = SimpleNamespace(signatures=signatures, label_names=tf.constant((), tf.string))
        monkeypatch.setattr(predictor, "load_predictor", lambda path: predictor.Predictor(fake))

    return make


@pytest.fixture
def stdin(monkeypatch, tmp_path):
    """Makes a file of this content stdin."""
    path = tmp_path / "stdin"
    path.touch()
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield lambda content: path.write_bytes(content.encode())


@pytest.fixture
def predict(command):
    def predict(*arguments):
        result = command("predict", "saved_models/m", *arguments)
        result.answers = [json.loads(line) for line in result.out.split("\n") if line]
        return result

    return predict


def test_each_text_is_answered_with_one_object_a_line(predict, model):
    model()
    not_utf_8 = os.fsdecode(b"bad \xff")  # how Python hands such an argument on
    assert predict("Fine.", "Été 😀", not_utf_8).answers == [
        {"text": "Fine.", "value": 5},
        {"text": "Été 😀", "value": 10},
        {"text": "bad \ufffd", "value": 7},
    ]


@pytest.mark.parametrize(
    ("options", "content", "texts"),
    [
        ([], "one\n\ntwo\u2028still two\r\nthree", ["one", "", "two\u2028still two", "three"]),
        ([], "\ufeffone\n \n", ["one", " "]),
        ([], "", []),
        ([], r'{"text": "a\nb \ud83d"}', [r'{"text": "a\nb \ud83d"}']),  # a text unless told
        (["--json-lines"], r'{"text": "a\nb \ud83d"}', ["a\nb \ufffd"]),
        (["--json-lines"], '\ufeff{"text": "a"}\r\n\r\n{"text": "b"}', ["a", "b"]),
        (["--json-lines"], '{"text": ""}\n', [""]),
        (["--json-lines"], "\ufeff\n \n", []),
    ],
)
def test_lines_of_stdin_are_read(predict, model, stdin, options, content, texts):
    model()
    stdin(content)
    result = predict("-", *options)
    assert (result.code, [answer["text"] for answer in result.answers]) == (0, texts)


@pytest.mark.parametrize("texts", [["-"], ["-5"], ["--url=http://a.b is where I saw it", "--"]])
def test_all_that_follows_two_dashes_is_text(predict, command, model, texts):
    model()
    assert [answer["text"] for answer in predict("--", *texts).answers] == texts
    assert [answer["text"] for answer in predict("one", "--", *texts).answers] == ["one", *texts]
    result = command("predict", "--", "saved_models/m", *texts)
    assert [json.loads(line)["text"] for line in result.out.splitlines()] == texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a b.txt", "café\nno\n".encode("utf-16")),
        ("a b.txt.gz", gzip.compress("café\nno\n".encode(), mtime=0)),
        ("a'b.txt", "it’s\n“no”\n".encode("cp1252")),
    ],
)
def test_stdin_that_is_no_utf_8_is_2_and_the_fix_works(
    predict, model, monkeypatch, tmp_path, name, content
):
    model()
    (tmp_path / name).write_bytes(content)
    with (tmp_path / name).open("rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        result = predict("-")
    assert (result.code, result.out) == (2, "")
    fix = result.err.rpartition("Fix: ")[2].rpartition("WINDOWS-1252: ")[2]
    subprocess.run(fix, shell=True, check=True)
    (converted,) = tmp_path.glob("converted-*")
    with converted.open("rb") as file:
        monkeypatch.setattr(sys, "stdin", file)
        texts = [answer["text"] for answer in predict("-").answers]
    assert texts in (["café", "no"], ["it’s", "“no”"])


def test_a_pair_is_two_texts_after_pair(predict, model):
    model(has_pairs=True)
    assert predict("--pair", "one", "two", "--pair", "a\nb", "-").answers == [
        {"text": "one", "text_pair": "two", "value": 6},
        {"text": "a\nb", "text_pair": "-", "value": 4},
    ]


@pytest.mark.parametrize("arguments", [["-"], ["-", "--json-lines"]])
def test_stdin_holds_pairs_as_json_lines(predict, model, stdin, arguments):
    model(has_pairs=True)
    stdin("\n".join(PAIR_LINES))
    texts = [(answer["text"], answer["text_pair"]) for answer in predict(*arguments).answers]
    assert texts == [("one", "two"), ("", "")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["one", "--pair", "a", "b"],
            "single texts or pairs, not both. Received: 'one --pair",
        ),
        (["-", "--pair", "a", "b"], "or from stdin, not from both. Received: '- --pair a b'"),
        (["one", "--json-lines"], "--json-lines is about stdin. Expected: - in place of texts"),
        (["-", "text"], "from the command line or from stdin, not from both. Received: '- text'"),
        (["--json-lines"], "There is no text to predict."),
        ([], "or - for lines on stdin"),
        (["--pair", "a"], "expected 2 arguments"),
    ],
)
def test_mixtures_are_2_before_a_model_is_loaded(refused, stdin, arguments, message):
    stdin("a line that nobody asked to be read")
    refused(message, "predict", "saved_models/m", *arguments)
