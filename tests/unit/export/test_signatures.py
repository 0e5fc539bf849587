"""The other doors to a model: classify, regress, tokens, embed."""

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.export.signatures import TOKEN_INPUTS, check_signatures, describe_signatures


def serialize(*texts, names=("text", "text_pair")):
    """Texts, or pairs of texts, as serialized examples."""

    def example(row):
        features = {
            name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
            for name, text in zip(names, row, strict=False)
        }
        return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()

    return [example(row) for row in zip(*texts, strict=True)]


def ask(exported, signature, **inputs):
    outputs = exported.loaded.signatures[signature](**inputs)
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def test_each_kind_has_its_own(all_exported):
    for kind, own in (("single", "classify"), ("multi", "classify"), ("number", "regress")):
        found = set(all_exported[kind].loaded.signatures)
        assert found == {"serving_default", own, "tokens", "embed"}


@pytest.mark.parametrize("name", ["single", "single pairs", "multi"])
def test_classify_names_the_labels_of_its_scores(all_exported, name):
    exported = all_exported[name]
    answer = ask(exported, "classify", inputs=tf.constant(serialize(*exported.texts)))
    assert sorted(answer) == ["classes", "scores"]
    names = [label.encode() for label in exported.parts["task"].label_names]
    assert answer["classes"].tolist() == [names] * len(exported.texts[0])
    expected = exported.after(*exported.texts)
    scores = expected.get("probabilities", expected.get("scores"))
    np.testing.assert_allclose(answer["scores"], scores, atol=1e-6)


def test_regress(all_exported):
    exported = all_exported["number"]
    answer = ask(exported, "regress", inputs=tf.constant(serialize(*exported.texts)))
    assert list(answer) == ["outputs"]
    expected = exported.after(*exported.texts)["value"]
    np.testing.assert_allclose(answer["outputs"], expected, atol=1e-6)


def test_an_example_without_a_text_is_refused(all_exported):
    inputs = tf.constant(serialize(["a film"], names=("words",)))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"text.*required"):
        ask(all_exported["single"], "classify", inputs=inputs)


@pytest.mark.parametrize("name", ["single", "single pairs", "single windows"])
def test_tokens_answer_as_texts_do(all_exported, name):
    exported = all_exported[name]
    rows = exported.parts["preprocessor"](*exported.texts)
    padded = {key: tf.pad(rows[key], [[0, 0], [0, 3]]) for key in TOKEN_INPUTS}
    answer = ask(exported, "tokens", **padded)
    expected = exported.after(*exported.texts)
    assert answer.keys() == expected.keys()
    np.testing.assert_allclose(answer["logits"], expected["logits"], atol=1e-5)
    unmasked = padded | {"padding_mask": tf.ones_like(padded["padding_mask"])}
    control = ask(exported, "tokens", **unmasked)["logits"]
    assert np.abs(control - expected["logits"]).max() > 1e-4


def test_embed_gives_what_the_head_sees(all_exported):
    exported = all_exported["single"]
    model = exported.parts["model"]
    vectors = ask(exported, "embed", text=tf.constant(exported.texts[0]))
    assert {name: v.shape for name, v in vectors.items()} == {
        "pooled": (6, model.encoder.hidden_dim),
        "mean": (6, model.encoder.hidden_dim),
    }
    logits = model.head(tf.constant(vectors["pooled"]), training=False)
    expected = exported.after(*exported.texts)["logits"]
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_embed_of_windows_is_their_mean(all_exported):
    """The head is linear: the mean of the windows' logits is the logit of their mean."""
    exported = all_exported["single windows"]
    vectors = ask(exported, "embed", text=tf.constant(exported.texts[0]))
    logits = exported.parts["model"].head(tf.constant(vectors["pooled"]), training=False)
    expected = exported.after(*exported.texts)["logits"]
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_some_signatures_alone(build_parts, tmp_path):
    options = ExportOptions(signatures=("embed",), verify=False)
    parts = {**build_parts(), "options": options}
    version = export_saved_model(**parts, folder=tmp_path / "m", metadata={})
    assert set(tf.saved_model.load(str(version)).signatures) == {"serving_default", "embed"}


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        (("regress",), "single", r"no such signature.*'regress'.*classify for all others"),
        (("classify",), "number", r"no such signature.*'classify'.*regress is for models"),
        (("embedd",), "multi", r'Did you mean "embed"\?'),
    ],
)
def test_what_a_model_cannot_have(names, kind, message):
    with pytest.raises(UserError, match=message):
        check_signatures(names, kind)


def test_the_table_of_signatures(all_exported):
    signatures = all_exported["single pairs"].loaded.signatures
    table = describe_signatures(signatures)
    assert table["serving_default"]["inputs"] == {
        "text": "string [None]",
        "text_pair": "string [None]",
    }
    assert table["classify"] == {
        "inputs": {"inputs": "string [None]"},
        "outputs": {"classes": "string [None, 3]", "scores": "float32 [None, 3]"},
    }
