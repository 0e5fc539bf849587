"""SavedModels that tell how they were asked."""

import json
import shutil

import pytest
import tensorflow as tf

from kerasft.export.layout import RECORD, file_digests


def _save(folder, label_names=("short", "long"), **signatures):
    """Saves a model; without `signatures` as an export of old: a label without `score`."""
    module = tf.Module()
    module.label_names = tf.Variable(label_names, trainable=False)
    if not signatures:
        signatures = {"serving_default": _build_signature("single", label_names, has_score=False)}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    record = {"sha256": file_digests(folder)}
    (folder / RECORD).parent.mkdir()
    (folder / RECORD).write_text(json.dumps(record))


def _build_signature(kind, label_names, has_pairs=False, has_score=True):
    """A signature of an export, whose answer tells the length of the texts."""
    names = ["text", "text_pair"][: 1 + has_pairs]
    specs = [tf.TensorSpec([None], tf.string, name=name) for name in names]

    @tf.function(input_signature=specs)
    def answer(*texts):
        lengths = tf.add_n([tf.strings.length(text, unit="UTF8_CHAR") for text in texts])
        value = tf.cast(lengths, tf.float32)
        logits = tf.stack([value, -value], axis=1)
        if kind == "number":
            return {"value": value, "logits": value[:, tf.newaxis]}
        if kind == "multi":
            selected = tf.stack([lengths > 4, lengths > 8], axis=1)
            labels = tf.where(selected, tf.constant([label_names]), "")
            return {"labels": labels, "scores": logits, "selected": selected, "logits": logits}
        label = tf.gather(list(label_names), tf.cast(lengths > 4, tf.int32))
        outputs = {"label": label, "probabilities": logits, "logits": logits}
        return outputs | {"score": value} if has_score else outputs

    return answer.get_concrete_function()


def _save_kind(folder, kind, *, has_pairs=False):
    label_names = () if kind == "number" else ("short", "long")
    signature = _build_signature(kind, label_names, has_pairs)
    _save(folder, tf.constant(label_names, tf.string), serving_default=signature)
    return folder


@pytest.fixture(scope="session")
def save_model():
    """Saves as an export of old: no `score`, single texts, one label."""
    return _save


@pytest.fixture(scope="session")
def model_of(tmp_path_factory):
    """The folder of a model of a kind, for single texts or pairs."""
    folder = tmp_path_factory.mktemp("kinds")

    def model_of(kind, has_pairs=False):
        version = folder / f"{kind}-{has_pairs}" / "1"
        return version if version.exists() else _save_kind(version, kind, has_pairs=has_pairs)

    return model_of


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
