"""Exports of every kind: one label, several labels, numbers; pairs; long texts in windows."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.op_audit import audit_saved_model
from kerasft.export.saved_model import export_saved_model
from kerasft.serving.predictor import load_predictor

FLOATS = {"single": ("score", "probabilities"), "multi": ("scores",), "number": ("value",)}


def test_signature(exported):
    signature = exported.loaded.signatures["serving_default"]
    names = ["text", "text_pair"] if exported.has_pairs else ["text"]
    assert signature.structured_input_signature == (
        (),
        {name: tf.TensorSpec([None], tf.string, name=name) for name in names},
    )
    specs = {name: (s.shape.as_list(), s.dtype) for name, s in signature.structured_outputs.items()}
    selected = specs.pop("selected", None)
    assert selected is None or selected[0] == [None, 3]
    assert (selected is not None) == (exported.kind == "multi")
    rows, row = ([None, 3], tf.float32), ([None], tf.float32)
    assert (
        specs
        == {
            "single": {
                "label": ([None], tf.string),
                "score": row,
                "probabilities": rows,
                "logits": rows,
            },
            "multi": {"labels": ([None, 3], tf.string), "scores": rows, "logits": rows},
            "number": {"value": row, "logits": ([None, 1], tf.float32)},
        }[exported.kind]
    )


def test_answers_are_those_of_evaluation(exported):
    before, after = exported.before(*exported.texts), exported.after(*exported.texts)
    assert before.keys() == after.keys()
    assert np.ptp(before["logits"], axis=0).max() > 1e-2  # by far more than the tolerance
    inputs = exported.parts["preprocessor"](*exported.texts)
    dropped = exported.parts["model"](inputs, training=True)
    assert np.abs(dropped - before["logits"]).max() > 1e-2  # dropout is off
    for name, values in before.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(after[name], values, atol=1e-5, err_msg=name)
        else:
            assert after[name].tolist() == values.tolist()


def test_an_answer_does_not_depend_on_its_neighbours(exported):
    together = exported.after(*exported.texts)["logits"]
    alone = [exported.after(*([t] for t in texts)) for texts in zip(*exported.texts, strict=True)]
    np.testing.assert_allclose(np.concatenate([a["logits"] for a in alone]), together, atol=1e-5)


def test_no_text_at_all(exported):
    outputs = exported.after(*([] for _ in exported.texts))
    assert {values.shape[0] for values in outputs.values()} == {0}


def test_control_both_texts_of_a_pair_count_in_their_order(all_exported):
    exported = all_exported["single pairs"]
    swapped = exported.after(*exported.texts[::-1])["logits"]
    assert np.abs(swapped - exported.after(*exported.texts)["logits"])[0].max() > 1e-2


def test_control_windows_read_on(all_exported):
    """A long text's later words count."""
    exported = all_exported["single windows"]
    long = "a quiet film " * 5
    logits = exported.after([long, long + "bad plot " * 5])["logits"]
    assert np.abs(logits[0] - logits[1]).max() > 1e-2
    record = json.loads((exported.version / "assets.extra" / "kerasft.json").read_text())
    assert record["preprocessing"]["window_stride"] == 8
    assert record["preprocessing"]["max_windows"] == 4


def test_record_and_attribute(exported):
    names = {"single": ["neg", "neutral", "pos"], "multi": ["plot", "cast", "music"], "number": []}
    record = json.loads((exported.version / "assets.extra" / "kerasft.json").read_text())
    assert record["kind"] == exported.kind
    assert record["has_pairs"] is exported.has_pairs
    assert record["label_names"] == names[exported.kind]
    assert record["task"]["kind"] == exported.kind
    if exported.kind == "number":
        assert record["task"]["value_range"] == [3.0, None]
    if exported.kind == "multi":
        assert record["task"]["thresholds"] == [0.2, 0.5, 0.8]
    attribute = exported.loaded.label_names.numpy()
    assert [name.decode() for name in attribute] == names[exported.kind]


def test_several_labels_apply_by_their_thresholds(all_exported):
    exported = all_exported["multi"]
    outputs = exported.after(*exported.texts)
    selected = outputs["scores"] >= np.array([0.2, 0.5, 0.8], "float32")
    assert (selected != (outputs["scores"] >= 0.5)).any()  # at 0.5 it would be otherwise
    assert outputs["selected"].tolist() == selected.tolist()


def test_a_number_stays_in_its_range(all_exported):
    exported = all_exported["number"]
    outputs = exported.after(*exported.texts)
    assert outputs["logits"].min() < 3 == outputs["value"].min() < outputs["value"].max()


def test_our_predictor_reads_it(exported):
    predictor = load_predictor(exported.version)
    assert (predictor.kind, predictor.has_pairs) == (exported.kind, exported.has_pairs)
    answers, outputs = predictor.predict(*exported.texts), exported.after(*exported.texts)
    assert [answer["text"] for answer in answers] == exported.texts[0]
    if exported.has_pairs:
        assert [answer["text_pair"] for answer in answers] == exported.texts[1]
    for name in FLOATS[exported.kind]:
        received = [a[name] if np.isscalar(a[name]) else [*a[name].values()] for a in answers]
        np.testing.assert_allclose(received, outputs[name], atol=1e-5)
    if exported.kind == "multi":
        named = [[n.decode() for n in row if n] for row in outputs["labels"]]
        assert [answer["labels"] for answer in answers] == named
        assert len({len(row) for row in named}) > 1
    if exported.kind == "single":
        assert [answer["label"].encode() for answer in answers] == outputs["label"].tolist()


def test_every_stock_server_has_every_op(exported):
    record = json.loads((exported.version / "assets.extra" / "kerasft.json").read_text())
    assert record["oldest_server"] == audit_saved_model(exported.version).oldest_server == "2.12.1"


def test_pairs_in_windows_are_refused(build_parts, tmp_path):
    parts = build_parts(windows=True, has_pairs=True)
    with pytest.raises(UserError, match="Pairs of texts cannot be read in windows"):
        export_saved_model(**parts, folder=tmp_path / "m", metadata={})
    assert list(tmp_path.iterdir()) == []


FRESH = """
import json, sys
import tensorflow as tf, tensorflow_text
texts, answers = json.loads(sys.stdin.read()), []
for path in sys.argv[1:]:
    model = tf.saved_model.load(path)
    answer = model.signatures["serving_default"]
    names = answer.structured_input_signature[1]
    outputs = answer(**{name: tf.constant(texts[name]) for name in names})
    answers.append({k: v.numpy().tolist() for k, v in outputs.items() if v.dtype == tf.float32})
foreign = [name for name in sys.modules if name.split(".")[0] in ("kerasft", "keras_hub")]
print(json.dumps([answers, foreign]))
"""


def test_a_process_without_kerasft_gives_the_same_answers(all_exported, tmp_path):
    models = [all_exported[name] for name in ("single pairs", "number", "single windows")]
    paths = [str(exported.version) for exported in models]
    result = subprocess.run(
        [sys.executable, "-I", "-c", FRESH, *paths],
        input=json.dumps(dict(zip(("text", "text_pair"), models[0].texts, strict=True))),
        capture_output=True,
        check=True,
        text=True,
        cwd=tmp_path,
    )
    answers, foreign = json.loads(result.stdout.splitlines()[-1])
    for exported, answer in zip(models, answers, strict=True):
        outputs = exported.after(*exported.texts)
        assert {*FLOATS[exported.kind], "logits"} == answer.keys()
        for name, values in answer.items():
            np.testing.assert_allclose(values, outputs[name], atol=1e-5)
    assert foreign == []
