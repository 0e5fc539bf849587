"""Each kind of artefact in the C loader: what a stock server would make of it.

The loader goes the way that TensorFlow Serving goes (`TF_LoadSessionFromSavedModel`), in a process
without Python. The op libraries that it is given are what the server links; without TF-Text's
trimmer it stands for servers up to 2.19.
"""

from __future__ import annotations

import functools

import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from kerasft.export.op_audit import audit_saved_model

TEXTS = {
    "text": [
        b"A quiet, moving film.",
        b"",
        b"nul \0 nul",
        b"bad plot " * 500,
        "café 中文".encode(),
    ],
    "text_pair": [b"Nobody moves.", b"", b"what a plot", b"a", b"\xff\xfe good music"],
}
KINDS = ("single", "multi", "number", "pairs", "int8", "bfloat16")
TOLERANCES = {"bfloat16": 0.02}  # of logits up to 7: fewer bits, merged otherwise
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "quiet", "film"]


def texts_of(kind):
    return TEXTS if kind == "pairs" else {"text": TEXTS["text"]}


def requests_of(loader, version, kind):
    """A request to each signature, and the records that the version is warmed up with."""
    requests = [*loader.make_requests(version, texts_of(kind)), *loader.read_warmup(version)]
    assert len(requests) > 4  # there is a warm-up
    return requests


@functools.cache
def load_in_python(version):
    return tf.saved_model.load(str(version))


def answer_in_python(model, request):
    inputs = {name: tf.constant(value) for name, value in request.inputs.items()}
    return {k: v.numpy() for k, v in model.signatures[request.signature](**inputs).items()}


def find_differences(received, expected, tolerance=1e-5):
    """Lists the outputs that differ: floats by more than the tolerance, the rest at all."""
    assert received.keys() == expected.keys()
    return [
        name
        for name, values in expected.items()
        if received[name].shape != values.shape
        or not (
            np.allclose(received[name], values, rtol=0, atol=tolerance)
            if values.dtype.kind == "f"
            else received[name].tolist() == values.tolist()
        )
    ]


@pytest.fixture(scope="module")
def keras_hub_version(tmp_path_factory):
    """KerasHub's own preprocessing of text, exported as it is."""
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=VOCABULARY, lowercase=True)
    preprocess = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=8)
    preprocess.build(None)
    module = tf.Module()
    module.preprocess = preprocess
    specs = [tf.TensorSpec([None], tf.string, name="text")]
    module.answer = tf.function(preprocess, input_signature=specs, autograph=False)
    folder = tmp_path_factory.mktemp("keras_hub")
    tf.saved_model.save(module, str(folder), signatures=module.answer)
    return folder


@pytest.mark.parametrize(
    ("kind", "newest"),
    [("single", True), *((kind, False) for kind in KINDS)],  # which needs less, runs on more
    ids=lambda value: value if isinstance(value, str) else ["up to 2.19", "2.20"][value],
)
def test_answers_are_those_of_python(c_loader, loader, saved_models, tmp_path, kind, newest):
    version = saved_models[kind]
    requests = requests_of(loader, version, kind)
    libraries = loader.text_libraries(newest=newest)
    answers = loader.ask(c_loader, version, requests, libraries=libraries, folder=tmp_path)
    model = load_in_python(version)
    assert {request.signature for request in requests} == set(model.signatures)
    for request, answer in zip(requests, answers, strict=True):
        assert answer.error == ""
        expected = answer_in_python(model, request)
        tolerance = TOLERANCES.get(kind, 1e-5)
        assert find_differences(answer.outputs, expected, tolerance) == []
        # Controls: another text's answer, and a label or number that is another one, are seen.
        rolled = {name: np.roll(values, 1, axis=0) for name, values in expected.items()}
        has_one_row = len(next(iter(expected.values()))) == 1
        assert has_one_row or find_differences(answer.outputs, rolled, tolerance) != []


@pytest.mark.parametrize("newest", [True, False], ids=["2.20", "up to 2.19"])
def test_control_keras_hubs_own_export_needs_the_newest(
    c_loader, loader, keras_hub_version, tmp_path, newest
):
    requests = list(loader.make_requests(keras_hub_version, {"text": [b"a quiet film", b"film"]}))

    def ask():
        libraries = loader.text_libraries(newest=newest)
        answers = loader.ask(
            c_loader, keras_hub_version, requests, libraries=libraries, folder=tmp_path
        )
        for answer in answers:
            if answer.error:
                raise loader.RefusedError(answer.error)
        return answers

    assert audit_saved_model(keras_hub_version).oldest_server == "2.20.0"  # as is foretold
    if newest:
        (answer,) = ask()
        assert answer.outputs["token_ids"].tolist()[1] == [2, 7, 3, 0, 0, 0, 0, 0]
    else:
        with pytest.raises(loader.RefusedError, match="not registered 'TFText>RoundRobinTrim'"):
            ask()


def test_a_corrupt_graph_is_refused(c_loader, loader, saved_models, tmp_path):
    whole = (saved_models["single"] / "saved_model.pb").read_bytes()
    (tmp_path / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    libraries = loader.text_libraries(newest=False)
    with pytest.raises(loader.RefusedError, match="Read less bytes than requested"):
        loader.ask(c_loader, tmp_path, [], libraries=libraries, folder=tmp_path)


def test_without_its_variables_a_graph_loads_and_answers_with_an_error(
    c_loader, loader, saved_models, tmp_path
):
    """TensorFlow takes a missing folder for a model that has none: only a request tells."""
    graph = saved_models["single"] / "saved_model.pb"
    (tmp_path / "saved_model.pb").write_bytes(graph.read_bytes())
    requests = list(loader.make_requests(tmp_path, texts_of("single")))
    libraries = loader.text_libraries(newest=False)
    answers = loader.ask(c_loader, tmp_path, requests, libraries=libraries, folder=tmp_path)
    assert all("Could not find variable" in answer.error for answer in answers)
