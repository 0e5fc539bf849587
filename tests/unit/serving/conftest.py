"""SavedModels that tell how they were asked."""

import json
import shutil

import pytest
import tensorflow as tf

from kerasft.export.layout import RECORD, file_digests


def _save(folder, label_names=("short", "long"), **signatures):
    """Saves a model with the signature of an export.

    Its answer tells how it was asked: `probabilities` are the size of the batch and the length of
    its longest text.
    """

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def answer(text):
        lengths = tf.strings.length(text, unit="UTF8_CHAR")
        facts = tf.stack([tf.size(text), tf.reduce_max(lengths)])
        facts = tf.ones([tf.size(text), 1]) * tf.cast(facts, tf.float32)
        label = tf.gather(list(label_names), tf.cast(lengths > 4, tf.int32))
        return {"label": label, "probabilities": facts, "logits": facts}

    module = tf.Module()
    module.label_names = tf.Variable(label_names, trainable=False)
    if not signatures:
        signatures = {"serving_default": answer.get_concrete_function()}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    record = {"sha256": file_digests(folder)}
    (folder / RECORD).parent.mkdir()
    (folder / RECORD).write_text(json.dumps(record))


@pytest.fixture(scope="session")
def save_model():
    return _save


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project") / "saved_models"
    _save(folder / "imdb" / "2", label_names=("old short", "old long"))
    _save(folder / "imdb" / "10")
    for name in (".new-1a2b", "99"):  # one that is being written, one that holds nothing
        (folder / "imdb" / name).mkdir()
    return folder


@pytest.fixture
def version(saved_models, tmp_path):
    """A copy of a version that may be damaged."""
    return shutil.copytree(saved_models / "imdb" / "10", tmp_path / "imdb" / "10").parent / "10"
