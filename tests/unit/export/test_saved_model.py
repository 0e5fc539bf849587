import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from kerasft.errors import UserError
from kerasft.export.saved_model import export_saved_model
from kerasft.serving.predictor import load_predictor

TEXTS = ["A quiet, moving film.", "", "nul \0 nul", "bad plot " * 5000, "café 中文 <br /> [SEP]"]


@pytest.fixture(scope="module")
def exported(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved_models") / "imdb"
    return export_saved_model(**parts, folder=folder, metadata={"preset": "tiny_random"})


@pytest.fixture(scope="module")
def answer(exported):
    loaded = tf.saved_model.load(str(exported))
    signature = loaded.signatures["serving_default"]

    def answer(texts):
        outputs = signature(text=tf.constant(texts, tf.string))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    answer.loaded = loaded  # owns the variables
    return answer


def test_signature_is_text_to_label(answer):
    signature = answer.loaded.signatures["serving_default"]
    assert signature.structured_input_signature == (
        (),
        {"text": tf.TensorSpec([None], tf.string, name="text")},
    )
    specs = {name: (s.shape.as_list(), s.dtype) for name, s in signature.structured_outputs.items()}
    assert specs == {
        "label": ([None], tf.string),
        "score": ([None], tf.float32),
        "probabilities": ([None, 3], tf.float32),
        "logits": ([None, 3], tf.float32),
    }


def test_answers_are_the_models_own(parts, answer):
    inputs = parts["preprocessor"](tf.constant(TEXTS))
    logits = parts["model"](inputs, training=False).numpy()
    assert np.ptp(logits, axis=0).max() > 1e-2  # the texts differ by more than the tolerance
    outputs = answer(TEXTS)
    np.testing.assert_allclose(outputs["logits"], logits, atol=1e-5)
    np.testing.assert_allclose(outputs["probabilities"], tf.nn.softmax(logits), atol=1e-5)
    np.testing.assert_allclose(outputs["score"], outputs["probabilities"].max(axis=1), atol=1e-6)
    names = [parts["task"].label_names[index] for index in logits.argmax(axis=1)]
    assert [label.decode() for label in outputs["label"]] == names
    assert np.abs(parts["model"](inputs, training=True) - logits).max() > 1e-2  # dropout is off


def test_our_predictor_reads_it(exported, answer):
    predictor = load_predictor(exported.parent)
    answers = predictor.predict(TEXTS)
    assert predictor.label_names == ("neg", "neutral", "pos")
    probabilities = [list(answer["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(probabilities, answer(TEXTS)["probabilities"], atol=1e-5)
    assert all(max(a["probabilities"], key=a["probabilities"].get) == a["label"] for a in answers)


@pytest.mark.parametrize("text", [*TEXTS, b"\xff\xfe\x80", b"caf\xc3", "\0"])
def test_an_answer_does_not_depend_on_its_neighbours(answer, text):
    alone = answer([text])["probabilities"][0]
    np.testing.assert_allclose(alone.sum(), 1.0, atol=1e-5)
    among = answer(["a", "a long film " * 20, text, ""])["probabilities"]
    np.testing.assert_allclose(among[2], alone, atol=1e-5)


def test_empty_batch(answer):
    shapes = {name: value.shape for name, value in answer([]).items()}
    assert shapes == {"label": (0,), "score": (0,), "probabilities": (0, 3), "logits": (0, 3)}


def test_weights_are_stored_once_and_nothing_else(parts, exported):
    model, unused = parts["model"], parts["model"].encoder.backbone.pooled_dense.weights
    weights = sum(weight.value.numpy().nbytes for weight in model.weights)
    weights -= sum(weight.value.numpy().nbytes for weight in unused)
    data = (exported / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert weights <= data < 1.02 * weights + 4096
    names = [name for name, _ in tf.train.list_variables(str(exported / "variables/variables"))]
    assert len(names) == len(model.trainable_variables) + 2  # label names, the file's own table
    assert not [name for name in names if "seed" in name or "optimizer" in name]


def test_record_and_label_names_are_inside(exported, answer):
    record = json.loads((exported / "assets.extra" / "kerasft.json").read_text())
    assert record["label_names"] == ["neg", "neutral", "pos"]
    assert (record["kind"], record["has_pairs"]) == ("single", False)
    assert record["task"]["label_names"] == ["neg", "neutral", "pos"]
    assert record["metadata"] == {"preset": "tiny_random"}
    assert record["oldest_server"] == "2.12.1"
    assert record["versions"]["tensorflow"] == tf.__version__
    assert record["preprocessing"]["sequence_length"] == 48
    assert "saved_model.pb" in record["sha256"]
    assert answer.loaded.label_names.numpy().tolist() == [b"neg", b"neutral", b"pos"]


def pass_through_python(token_ids):
    return tf.py_function(lambda x: x, [token_ids], tf.int32)


def pass_through_xla(token_ids):
    return keras.ops.slice_update(token_ids, (0, 0), token_ids)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (pass_through_python, r"EagerPyFunc \(brought by.*Fix:.*TensorFlow Text's own ops"),
        (pass_through_xla, r"XlaDynamicUpdateSlice \(brought by.*Fix:.*keras\.ops\.scatter_update"),
    ],
)
def test_a_model_that_no_stock_server_runs_is_not_published(parts, tmp_path, step, message):
    original = parts["preprocessor"]

    class Trimmed:
        """Packs as KerasHub does, and adds a step."""

        def __call__(self, text):
            ragged, _ = original.tokenize(text)
            (ragged,) = tf_text.RoundRobinTrimmer(8).trim([ragged])
            token_ids = step(ragged.to_tensor())
            token_ids.set_shape([None, None])
            ones = tf.ones_like(token_ids)
            return {"token_ids": token_ids, "segment_ids": 0 * ones, "padding_mask": ones}

        sequence_length = original.sequence_length

        def config(self):
            return {}

    parts = {**parts, "preprocessor": Trimmed()}
    with pytest.raises(UserError, match=f"No stock TensorFlow Serving runs this.*{message}"):
        export_saved_model(**parts, folder=tmp_path / "m", metadata={})
    assert not (tmp_path / "m").exists()


def test_mixed_precision_is_refused(build_parts, tmp_path):
    with pytest.raises(ValueError, match=r"'encoder': 'bfloat16'.*'float32'.*Fix: build it anew"):
        export_saved_model(
            **build_parts(dtype="mixed_bfloat16"), folder=tmp_path / "imdb", metadata={}
        )
    assert os.listdir(tmp_path) == []
