"""Weights in fewer bits: what is stored, and that a server computes with what was measured."""

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.quantization import compress_weights
from kerasft.export.saved_model import ExportOptions, export_saved_model

TEXTS = ["A quiet, moving film.", "", "bad plot " * 40, "café 中文"]


def logits_of(parts):
    return parts["model"](parts["preprocessor"](TEXTS), training=False).numpy()


@pytest.fixture(scope="module", params=["int8", "float16"])
def quantized(request, build_parts, tmp_path_factory):
    """The parts after compression, the logits before it, the version, the method."""
    parts = build_parts()
    before = logits_of(parts)
    compressed = compress_weights(parts["model"], request.param)
    parts["options"] = ExportOptions(verify=False, compressed=compressed)
    folder = tmp_path_factory.mktemp("saved_models") / request.param
    return parts, before, export_saved_model(**parts, folder=folder, metadata={}), request.param


def as_a_server(version):
    """Answers through the loader of graphs and sessions, which runs initializers as C++ does."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(version))
        signature = loaded.signature_def["serving_default"]
        output, given = signature.outputs["logits"].name, signature.inputs["text"].name
        return session.run(output, {given: [text.encode() for text in TEXTS]})


def test_the_export_computes_with_the_weights_that_were_measured(quantized):
    parts, before, version, _ = quantized
    after = logits_of(parts)
    assert np.abs(after - before).max() > 1e-4  # rounding shows: the control of what follows
    loaded = tf.saved_model.load(str(version))
    answer = loaded.signatures["serving_default"](text=tf.constant(TEXTS))["logits"]
    np.testing.assert_allclose(answer, after, atol=1e-5)
    np.testing.assert_allclose(as_a_server(version), after, atol=1e-5)
    again = tf.saved_model.load(str(version))  # beside the first, in one process
    del loaded
    answer = again.signatures["embed"](text=tf.constant(TEXTS))["pooled"]
    np.testing.assert_allclose(parts["model"].head(answer), after, atol=1e-5)


def test_it_is_smaller(quantized, all_exported):
    _, _, version, method = quantized
    size = lambda v: (v / "variables" / "variables.data-00000-of-00001").stat().st_size  # noqa: E731
    share = size(version) / size(all_exported["single"].version)
    assert share < {"int8": 0.32, "float16": 0.54}[method]


def test_int8_is_symmetric_with_a_scale_for_each_output(build_parts):
    model = build_parts()["model"]
    layer = model.encoder.backbone.transformer_layers[0]
    kernels = {
        layer._feedforward_output_dense.kernel.path: (0,),
        layer._self_attention_layer._query_dense.kernel.path: (0,),
        layer._self_attention_layer._output_dense.kernel.path: (0, 1),
        model.encoder.backbone.token_embedding.embeddings.path: (1,),
    }
    before = {w.path: w.numpy() for w in model.weights}
    weights = {w.variable.path: w for w in compress_weights(model, "int8")}
    for path, axes in kernels.items():
        values, weight = before[path], weights[path]
        scale = np.abs(values).max(axis=axes, keepdims=True) / 127
        np.testing.assert_allclose(weight.scale, scale, rtol=1e-3)
        assert np.abs(weight.stored - values / scale).max() <= 0.51
        assert weight.stored.dtype == np.int8
        np.testing.assert_array_equal(weight.variable.numpy(), weight.stored * weight.scale)


def test_biases_and_gains_stay(build_parts):
    model = build_parts()["model"]
    before = {w.path: w.numpy() for w in model.weights}
    rounded = {w.variable.path for w in compress_weights(model, "int8")}
    for weight in model.weights:
        if weight.path not in rounded:
            assert weight.path.endswith(("bias", "gamma", "beta")) or "seed" in weight.path
            np.testing.assert_array_equal(weight.numpy(), before[weight.path])


def test_a_table_of_zeros(build_parts):
    model = build_parts()["model"]
    kernel = model.head.logits.kernel
    kernel.assign(np.zeros(kernel.shape))
    compress_weights(model, "int8")
    np.testing.assert_array_equal(kernel.numpy(), 0)


def test_what_float16_cannot_hold(build_parts):
    model = build_parts()["model"]
    model.head.logits.kernel.assign(1e5 * np.ones(model.head.logits.kernel.shape))
    with pytest.raises(
        UserError, match=r"logits/kernel is too large for float16.*100000.*--quantize int8"
    ):
        compress_weights(model, "float16")


def test_another_method(build_parts):
    with pytest.raises(UserError, match=r"no such quantization.*'int4'.*int8 or float16"):
        compress_weights(build_parts()["model"], "int4")
