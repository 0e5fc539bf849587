import ast
import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.layout import RECORD
from kerasft.serving.predictor import load_predictor


@pytest.fixture(scope="module")
def predictor(saved_models):
    return load_predictor(saved_models / "imdb")


def test_answers(predictor):
    assert predictor.label_names == ("short", "long")
    answers = predictor.predict(["café", "longer"])
    assert answers == [
        {"text": "café", "label": "short", "probabilities": {"short": 2.0, "long": 6.0}},
        {"text": "longer", "label": "long", "probabilities": {"short": 2.0, "long": 6.0}},
    ]
    assert type(answers[0]["probabilities"]["short"]) is float
    assert json.loads(json.dumps(answers)) == answers
    assert predictor.predict([]) == []


@pytest.mark.parametrize("text", ["", "\0", "a\0b\0", "half \ud83d a pair", "line\nline\r\n"])
def test_awkward_texts_come_back_as_they_are(predictor, text):
    assert predictor.predict([text])[0]["text"] == text


def test_latest_version_or_the_one_named(predictor, saved_models):
    assert load_predictor(os.fspath(saved_models / "imdb") + "/").label_names == ("short", "long")
    old = load_predictor(saved_models / "imdb" / "2")
    assert old.label_names == ("old short", "old long")


def test_stream_starts_after_a_batch_and_holds_a_window(predictor):
    read = 0

    def lines():
        nonlocal read
        for _ in range(4000):
            read += 1
            yield "text"

    ahead = []
    for answered, _ in enumerate(predictor.predict_stream(lines())):
        ahead.append(read - answered)
    assert len(ahead) == 4000
    assert ahead[0] == 64
    assert max(ahead) == 1024


def test_stream_answers_at_once_when_no_line_waits(predictor):
    said = []

    def lines():
        for line in ("a", "b", None, None, "c", None):
            said.append(line)
            yield line

    stream = predictor.predict_stream(lines())
    assert next(stream)["text"] == "a"
    assert said == ["a", "b", None]
    assert [answer["text"] for answer in stream] == ["b", "c"]


@pytest.mark.parametrize("texts", ["a text", b"a text"])
def test_a_single_text_is_not_a_list(predictor, texts):
    with pytest.raises(UserError, match=r"several texts.*'a text'.*a list of strings.*into a list"):
        predictor.predict(texts)


@pytest.mark.parametrize("wrong", [None, float("nan"), 3, b"bytes"])
def test_what_is_no_text(predictor, wrong):
    message = f"Text number 2 is not a text. Received: '{type(wrong).__name__}'.*a string.*leave it"
    with pytest.raises(UserError, match=message):
        predictor.predict(["a", wrong])


@pytest.mark.parametrize("content", [b"", b"no graph", None])
@pytest.mark.parametrize("damaged", ["saved_model.pb", "variables/*.data*", "variables/*.index"])
def test_a_damaged_file_without_a_record(version, damaged, content):
    (version / RECORD).unlink()
    (path,) = version.glob(damaged)
    path.write_bytes(path.read_bytes()[:-3] if content is None else content)
    with pytest.raises(UserError, match=r"cannot be loaded: .*Fix: export it anew"):
        load_predictor(version)


def test_a_model_of_somebody_else(save_model, tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, name="token_ids")])
    def answer(token_ids):
        return {"output_0": token_ids}

    save_model(tmp_path / "1", serving_default=answer.get_concrete_function())
    message = (
        r"not exported by kerasft.*\['token_ids'\] -> \['output_0'\].*Expected: \['text'\], .*"
        r"'label', 'logits', 'probabilities'\] or \['labels', .* or \['logits', 'value'\]"
    )
    with pytest.raises(UserError, match=message):
        load_predictor(tmp_path)
    save_model(tmp_path / "2", train=answer.get_concrete_function())
    with pytest.raises(UserError, match=r"not exported by kerasft.*no signature serving_default"):
        load_predictor(tmp_path)


@pytest.mark.parametrize("missing", ["logits", "probabilities", "label"])
def test_a_signature_that_lacks_an_output(save_model, tmp_path, missing):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def answer(text):
        outputs = dict.fromkeys(("label", "probabilities", "logits"), text)
        del outputs[missing]
        return outputs

    save_model(tmp_path / "1", serving_default=answer.get_concrete_function())
    with pytest.raises(UserError, match=r"not exported by kerasft.*Fix: give a model that"):
        load_predictor(tmp_path)


FRESH = """
import sys
from kerasft.errors import UserError
from kerasft.serving.predictor import load_predictor
try:
    load_predictor(sys.argv[1] + "x")
except UserError:
    assert "tensorflow" not in sys.modules, "a mistyped path waits for TensorFlow"
for path in sys.argv[1:]:
    predictor = load_predictor(path)
    pairs = [["b"]] if predictor.has_pairs else []
    print(predictor.predict(["a"], *pairs))
needed = ("kerasft.errors", "kerasft.processor", "kerasft.serving", "kerasft.export")
for name in sorted({*sys.modules} - {"kerasft.data", "kerasft.data.example"}):
    ours = name.startswith("kerasft.") and not name.startswith(needed)
    if ours or name.startswith("keras_hub"):
        sys.exit(f"{name} was imported")
"""


def test_needs_tensorflow_alone_and_not_before_it_has_a_model(saved_models, model_of):
    kinds = [model_of("single"), model_of("multi", True), model_of("number", True)]
    command = [sys.executable, "-c", FRESH, *map(str, [saved_models / "imdb", *kinds])]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]
    answers = [ast.literal_eval(line)[0] for line in result.stdout.splitlines()[-4:]]
    assert [answer["label"] for answer in answers[:2]] == ["short", "short"]
    assert [answers[2]["labels"], answers[3]["value"]] == [[], 2.0]
