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
        {"text": "café", "label": "short", "probabilities": {"short": 4.0, "long": -4.0}},
        {"text": "longer", "label": "long", "probabilities": {"short": 6.0, "long": -6.0}},
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


@pytest.mark.parametrize("content", [b"", b"no graph", None])
@pytest.mark.parametrize("damaged", ["saved_model.pb", "variables/*.data*", "variables/*.index"])
def test_a_damaged_file_without_a_record(version, damaged, content):
    (version / RECORD).unlink()
    (path,) = version.glob(damaged)
    path.write_bytes(path.read_bytes()[:-3] if content is None else content)
    with pytest.raises(UserError, match=r"cannot be loaded: .*Fix: export it anew"):
        load_predictor(version)


EXPECTED = r"Expected: \['text'\], .* or \['labels', .* or \['logits', 'value'\].*Fix: give a mod"


@pytest.mark.parametrize(
    ("name", "given", "outputs", "received"),
    [
        ("serving_default", "token_ids", ["output_0"], r"\['token_ids'\] -> \['output_0'\]"),
        ("train", "text", ["label", "probabilities", "logits"], "no signature serving_default"),
        ("serving_default", "text", ["label", "probabilities"], "'probabilities'"),
        ("serving_default", "text", ["label", "logits"], "'logits'"),
        ("serving_default", "text", ["probabilities", "logits"], "'logits'"),
    ],
)
def test_a_model_of_somebody_else(save_model, tmp_path, name, given, outputs, received):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=given)])
    def answer(values):
        return dict.fromkeys(outputs, values)

    save_model(tmp_path / "1", **{name: answer.get_concrete_function()})
    with pytest.raises(UserError, match=f"not exported by kerasft.*{received}.*{EXPECTED}"):
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
