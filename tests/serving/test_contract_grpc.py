"""gRPC as TensorFlow Serving has it, with its own protos.

Runs against the real server where KERASFT_TF_SERVING names one: see make_models.py.
"""

from __future__ import annotations

import contextlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
    regression_pb2,
)

TEXTS = ["", "four", "a longer text"]


def predict_request(signature_name="", name="demo", version=None, label=None, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature_name
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    for alias, value in inputs.items():
        request.inputs[alias].CopyFrom(tf.make_tensor_proto(value))
    return request


def example_request(kind, signature_name, *features, context=None):
    request = kind()
    request.model_spec.name = "demo"
    request.model_spec.signature_name = signature_name
    fill_examples(request.input, features, context)
    return request


def fill_examples(target, features, context=None):
    holder = target.example_list
    if context is not None:
        holder = target.example_list_with_context
        holder.context.features.feature["text"].bytes_list.value.append(context)
    for text in features:
        example = holder.examples.add()
        if text is not None:
            example.features.feature["text"].bytes_list.value.append(text)


@contextlib.contextmanager
def refused(code, message):
    with pytest.raises(grpc.RpcError) as error:
        yield
    assert error.value.code() == code
    assert message in error.value.details()


def test_predict_answers_by_name(contract):
    response = contract.prediction.Predict(predict_request(text=TEXTS))
    assert response.outputs.keys() == {"label", "length", "probabilities"}
    assert list(response.outputs["label"].string_val) == [b"short", b"long", b"long"]
    assert list(response.outputs["length"].float_val) == [0, 4, 13]  # as old callers read it
    probabilities = tf.make_ndarray(response.outputs["probabilities"])
    assert probabilities.shape == (3, 2)
    assert probabilities[1] == pytest.approx([0.2, 0.8])
    spec = response.model_spec
    assert (spec.name, spec.version.value) == ("demo", 1)
    assert spec.signature_name == "serving_default"


def test_a_filter_chooses_outputs(contract):
    response = contract.prediction.Predict(with_filter("length"))
    assert response.outputs.keys() == {"length"}


def test_a_version_can_be_asked(contract):
    response = contract.prediction.Predict(predict_request(version=1, text=TEXTS))
    assert response.outputs["length"].float_val[1] == 4


def test_types_and_shapes_come_back(contract):
    request = predict_request("several", text=[b"\x00\xff"], number=np.array([2**40]))
    outputs = contract.prediction.Predict(request).outputs
    assert list(outputs["next"].int64_val) == [2**40 + 1]
    assert list(outputs["reversed_bytes"].string_val) == [b"\x00\xff\xff"]
    empty = contract.prediction.Predict(predict_request(text=np.array([], dtype=object)))
    assert tf.make_ndarray(empty.outputs["probabilities"]).shape == (0, 2)


def test_classify_and_regress(contract):
    request = example_request(classification_pb2.ClassificationRequest, "classify", b"four", b"")
    response = contract.prediction.Classify(request)
    first, second = response.result.classifications
    assert [found.label for found in first.classes] == ["short", "long"]
    assert [found.score for found in first.classes] == pytest.approx([0.2, 0.8])
    assert second.classes[0].score == 1.0
    assert response.model_spec.signature_name == "classify"
    request = example_request(regression_pb2.RegressionRequest, "regress", b"four", b"")
    response = contract.prediction.Regress(request)
    assert [found.value for found in response.result.regressions] == [4.0, 0.0]
    request = example_request(regression_pb2.RegressionRequest, "regress", None, context=b"ctx")
    assert contract.prediction.Regress(request).result.regressions[0].value == 3.0


def test_several_methods_at_once(contract):
    request = inference_pb2.MultiInferenceRequest()
    for name in ("classify", "regress"):
        task = request.tasks.add(method_name=f"tensorflow/serving/{name}")
        task.model_spec.name, task.model_spec.signature_name = "demo", name
    fill_examples(request.input, [b"four"])
    first, second = contract.prediction.MultiInference(request).results
    assert first.classification_result.classifications[0].classes[1].label == "long"
    assert second.regression_result.regressions[0].value == 4.0


def test_metadata(contract):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "demo"
    response = contract.prediction.GetModelMetadata(request)
    assert response.model_spec.version.value == 1
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert signatures.signature_def["serving_default"].inputs.keys() == {"text"}


def test_status(contract):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "demo"
    (found,) = contract.models.GetModelStatus(request).model_version_status
    assert (found.version, found.state) == (1, found.AVAILABLE)
    assert found.status.error_code == 0
    request.model_spec.version.value = 9
    with refused(grpc.StatusCode.NOT_FOUND, "Could not find version 9 of model demo"):
        contract.models.GetModelStatus(request)
    request.model_spec.name = "nope"
    request.model_spec.ClearField("version")
    with refused(grpc.StatusCode.NOT_FOUND, "Could not find any versions of model nope"):
        contract.models.GetModelStatus(request)


def with_filter(*aliases):
    request = predict_request(text=TEXTS)
    request.output_filter.extend(aliases)
    return request


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
MISSING = (
    "input size does not match signature: 0!=1 len({}) != len({text}). Sent extra: {}. "
    "Missing but required: {text}."
)
UNKNOWN_INPUT = (
    "input tensor alias not found in signature: texts. Inputs expected to be in the set {text}."
)
UNKNOWN_OUTPUT = (
    "output tensor alias not found in signature: nope Outputs expected to be in the set "
    "{label,length,probabilities}."
)
NO_DIMENSION = "Batching Run() input tensors must have at least one dimension"
SPECIFIC = "Servable not found for request: Specific(demo, 9)"
WRONG_SPECS = [
    ({"name": "nope"}, NOT_FOUND, "Servable not found for request: Latest(nope)"),
    ({"version": 9}, NOT_FOUND, SPECIFIC),
    ({"label": "stable"}, INVALID, "Unrecognized servable version label: stable"),
    ({"name": ""}, INVALID, "ModelSpec has no name specified."),
    (
        {"signature_name": "nope"},
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "nope" not found.',
    ),
]
WRONG_TENSORS = [
    (predict_pb2.PredictRequest(), "Missing ModelSpec"),
    (predict_request(), MISSING),
    (predict_request(texts=TEXTS), UNKNOWN_INPUT),
    (with_filter("nope"), UNKNOWN_OUTPUT),
    (with_filter("label", "label"), "duplicate output tensor alias: label"),
    (predict_request(text="scalar"), NO_DIMENSION),
    (predict_request(text=["a"] * 65), "Task size 65 is larger than maximum input batch size 64"),
    (predict_request(text=[1.0]), "to be string but float is provided"),
]
ERRORS = [(predict_request(**spec, text=TEXTS), *told) for spec, *told in WRONG_SPECS]
ERRORS += [(request, INVALID, message) for request, message in WRONG_TENSORS]


@pytest.mark.parametrize(("request_", "code", "message"), ERRORS, ids=[told for *_, told in ERRORS])
def test_a_wrong_request_gets_code_and_message(contract, request_, code, message):
    with refused(code, message):
        contract.prediction.Predict(request_)


def test_a_tensor_that_is_none_is_refused(contract):
    request = predict_request("double", x=[[1.0, 2.0]])
    request.inputs["x"].tensor_shape.dim[0].size = -5
    with refused(INVALID, "tensor parsing error: x"):
        contract.prediction.Predict(request)


def test_wrong_examples_are_refused(contract):
    kind = classification_pb2.ClassificationRequest
    with refused(INVALID, "Input is empty."):
        contract.prediction.Classify(example_request(kind, "classify"))
    with refused(INVALID, "No signature was found with the name: nope"):
        contract.prediction.Classify(example_request(kind, "nope", b"a"))


def test_metadata_of_something_else_is_refused(contract):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = "demo"
    with refused(INVALID, "GetModelMetadataRequest must specify at least one metadata_field"):
        contract.prediction.GetModelMetadata(request)
    request.metadata_field.append("graph")
    with refused(INVALID, "is not supported"):
        contract.prediction.GetModelMetadata(request)


def test_a_deadline_holds(contract):
    request = predict_request("slow", seconds=np.array([2.0], np.float32))
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED, ""):
        contract.prediction.Predict(request, timeout=0.3)
    control = predict_request("slow", seconds=np.array([0.05], np.float32))
    assert contract.prediction.Predict(control, timeout=20).outputs["waited"].float_val[0] > 0.04
