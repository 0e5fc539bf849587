import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from kerasft.errors import UserError
from kerasft.export.saved_model import export_saved_model


@pytest.fixture
def exported(all_exported):
    return all_exported["single"]


@pytest.mark.parametrize("text", ["bad plot " * 5000, b"\xff\xfe\x80", b"caf\xc3", "\0"])
def test_an_answer_does_not_depend_on_its_neighbours(exported, text):
    alone = exported.after([text])["probabilities"][0]
    np.testing.assert_allclose(alone.sum(), 1.0, atol=1e-5)
    among = exported.after(["a", "a long film " * 20, text, ""])["probabilities"]
    np.testing.assert_allclose(among[2], alone, atol=1e-5)


def test_weights_are_stored_once_and_nothing_else(exported):
    model, version = exported.parts["model"], exported.version
    unused = model.encoder.backbone.pooled_dense.weights
    weights = sum(weight.value.numpy().nbytes for weight in model.weights)
    weights -= sum(weight.value.numpy().nbytes for weight in unused)
    data = (version / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert weights <= data < 1.02 * weights + 4096
    names = [name for name, _ in tf.train.list_variables(str(version / "variables/variables"))]
    assert len(names) == len(model.trainable_variables) + 2  # label names, the file's own table
    assert not [name for name in names if "seed" in name or "optimizer" in name]


def test_the_record_is_inside(exported):
    record = json.loads((exported.version / "assets.extra" / "kerasft.json").read_text())
    assert record["task"]["label_names"] == ["neg", "neutral", "pos"]
    assert record["metadata"] == {"preset": "tiny_random"}
    assert record["versions"]["tensorflow"] == tf.__version__
    assert record["preprocessing"]["sequence_length"] == 48
    assert "saved_model.pb" in record["sha256"]


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
