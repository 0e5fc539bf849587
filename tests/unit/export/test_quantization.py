"""Weights in fewer bits: what is stored, and that a server computes with what was measured."""

import json

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.quantization import compress_weights, dtype_policy_of
from kerasft.export.saved_model import ExportOptions, export_saved_model

TEXTS = ["A quiet, moving film.", "", "bad plot " * 40, "café 中文"]


def logits_of(parts):
    return parts["model"](parts["preprocessor"](TEXTS), training=False).numpy()


LARGEST_BIAS = 512
# Of logits: a batch of another width is rounded otherwise in bfloat16.
ATOL = {"int8": 1e-5, "float16": 1e-5, "bfloat16": 0.1}


@pytest.fixture(scope="module", params=["int8", "float16", "bfloat16"])
def quantized(request, build_parts, tmp_path_factory):
    """The parts after compression, the logits before it, the version, the method."""
    method = request.param
    before = logits_of(build_parts())
    parts = build_parts(dtype=dtype_policy_of(method))
    compressed = compress_weights(parts["model"], method)
    parts["options"] = ExportOptions(verify=method == "bfloat16", compressed=compressed)
    folder = tmp_path_factory.mktemp("saved_models") / method
    return parts, before, export_saved_model(**parts, folder=folder, metadata={}), method


def as_a_server(version):
    """Answers through the loader of graphs and sessions, which runs initializers as C++ does."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(version))
        signature = loaded.signature_def["serving_default"]
        output, given = signature.outputs["logits"].name, signature.inputs["text"].name
        return session.run(output, {given: [text.encode() for text in TEXTS]})


def test_the_export_computes_with_the_weights_that_were_measured(quantized):
    parts, before, version, method = quantized
    after, atol = logits_of(parts), ATOL[method]
    assert np.abs(after - before).max() > 1e-4  # rounding shows: the control of what follows
    loaded = tf.saved_model.load(str(version))
    answer = loaded.signatures["serving_default"](text=tf.constant(TEXTS))["logits"]
    np.testing.assert_allclose(answer, after, atol=atol)
    np.testing.assert_allclose(as_a_server(version), after, atol=atol)
    assert np.ptp(after) > 10 * atol
    again = tf.saved_model.load(str(version))  # beside the first, in one process
    del loaded
    answer = again.signatures["embed"](text=tf.constant(TEXTS))["pooled"]
    assert answer.dtype == tf.float32
    np.testing.assert_allclose(parts["model"].head(answer), after, atol=atol)


def test_it_is_smaller(quantized, all_exported):
    _, _, version, method = quantized
    size = lambda v: (v / "variables" / "variables.data-00000-of-00001").stat().st_size  # noqa: E731
    share = size(version) / size(all_exported["single"].version)
    assert share < {"int8": 0.32, "float16": 0.54, "bfloat16": 0.54}[method]


def test_bfloat16_is_computed_in_as_it_is_stored(quantized):
    _, _, version, method = quantized
    graph = tf.saved_model.load(str(version)).signatures["serving_default"].graph
    graphs = [graph, *(graph._get_function(name).graph for name in graph._functions)]
    operations = [operation for each in graphs for operation in each.get_operations()]
    products = {op.outputs[0].dtype for op in operations if op.type == "MatMul"}
    cast_matrices = [
        op
        for op in operations
        if op.type == "Cast" and (op.inputs[0].shape.num_elements() or 0) > LARGEST_BIAS
    ]
    record = json.loads((version / "assets.extra" / "kerasft.json").read_text())
    if method == "bfloat16":
        assert tf.bfloat16 in products  # of the encoder; the head's is float32
        assert cast_matrices == []  # in each request it would cost more than it saves
        assert record["compute_dtype"] == "bfloat16"
    else:
        assert products == {tf.float32}
        assert record["compute_dtype"] == "float32"


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
    with pytest.raises(UserError, match=r"no such quantization.*'int4'.*int8, float16, bfloat16"):
        compress_weights(build_parts()["model"], "int4")
