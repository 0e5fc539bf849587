"""gRPC as TensorFlow Serving has it, with its own protos.

Runs against the real server where KERASFT_TF_SERVING names one: see make_models.py.
"""

from __future__ import annotations

import contextlib
import os

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

TEXTS = ["", "four", "a longer text"]
REAL = "KERASFT_TF_SERVING"


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


def example_request(kind, signature_name, *texts):
    request = kind()
    request.model_spec.name = "demo"
    request.model_spec.signature_name = signature_name
    for text in texts:
        example = request.input.example_list.examples.add()
        example.features.feature["text"].bytes_list.value.append(text)
    return request


@contextlib.contextmanager
def refused(code, message):
    with pytest.raises(grpc.RpcError) as error:
        yield
    assert error.value.code() == code
    assert message in error.value.details() or REAL in os.environ  # whose messages are others


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


def test_a_filter_chooses_outputs_and_a_version_can_be_asked(contract):
    request = with_filter("length")
    request.model_spec.version.value = 1
    response = contract.prediction.Predict(request)
    assert response.outputs.keys() == {"length"}
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
    with refused(grpc.StatusCode.NOT_FOUND, "There is no model demo version 9."):
        contract.models.GetModelStatus(request)
    request.model_spec.name = "nope"
    request.model_spec.ClearField("version")
    with refused(grpc.StatusCode.NOT_FOUND, "There is no model nope."):
        contract.models.GetModelStatus(request)


def with_filter(*aliases):
    request = predict_request(text=TEXTS)
    request.output_filter.extend(aliases)
    return request


INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
MISSING = "The inputs must be text, not none."
SCALAR = "Input text has the shape [], expected [None]."
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def with_shape(*sizes):
    request = predict_request("double", x=[[1.0, 2.0]])
    for dim, size in zip(request.inputs["x"].tensor_shape.dim, sizes, strict=True):
        dim.size = size
    return request


ERRORS = [
    (predict_request(name="nope", text=TEXTS), NOT_FOUND, "There is no model nope."),
    (predict_request(version=9, text=TEXTS), NOT_FOUND, "There is no model demo version 9."),
    (predict_request(label="stable", text=TEXTS), INVALID, "There are no labels here"),
    (predict_request(name="", text=TEXTS), INVALID, "The request names no model."),
    (predict_request("nope", text=TEXTS), PRECONDITION, "No signature 'nope', but classify"),
    (predict_pb2.PredictRequest(), INVALID, "The request names no model."),
    (predict_request(), INVALID, MISSING),
    (predict_request(texts=TEXTS), INVALID, "The inputs must be text, not texts."),
    (with_filter("nope"), INVALID, "The outputs are label, length, probabilities, not ['nope']."),
    (with_filter("label", "label"), INVALID, "not ['label', 'label']."),
    (predict_request(text="scalar"), INVALID, SCALAR),
    (predict_request(text=["a"] * 65), INVALID, "Task size 65 is larger than maximum input batch"),
    (predict_request(text=[1.0]), INVALID, "Input text must be of type string."),
    (
        predict_request("several", text=["a"], number=np.array([1, 2])),
        INVALID,
        "All inputs need the same number of rows",
    ),
    (with_shape(-5, 2), INVALID, "Input x is not a tensor."),
    (with_shape(10**12, 2), INVALID, "Task size 1000000000000 is larger"),  # one value for all
    (with_shape(1, 10**12), INVALID, "Input x has the shape [1, 1000000000000]"),
]


@pytest.mark.parametrize(
    ("request_", "code", "message"), ERRORS, ids=[str(i) for i in range(len(ERRORS))]
)
def test_a_wrong_request_gets_code_and_message(contract, request_, code, message):
    with refused(code, message):
        contract.prediction.Predict(request_)


@pytest.mark.parametrize("method", ["Predict", "Classify", "Regress", "GetModelMetadata", "Guess"])
def test_bytes_that_are_no_request_are_refused(contract, method):
    is_known = method != "Guess"
    call = contract.channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}")
    code = INVALID if is_known else grpc.StatusCode.UNIMPLEMENTED
    with refused(code, "The request is not a " if is_known else ""):
        call(b"\xff\xff no proto")


def test_wrong_examples_and_fields_are_refused(contract):
    kind = classification_pb2.ClassificationRequest
    context = example_request(kind, "classify")
    context.input.example_list_with_context.examples.add()
    for request, message in (
        (example_request(kind, "classify"), "The request has no examples"),
        (context, "or a list with a context."),
        (example_request(kind, "classify", *[b"a"] * 65), "Task size 65 is larger than maximum"),
        (example_request(kind, "", b"a"), "The signature serving_default is not for classify."),
    ):
        with refused(INVALID, message):
            contract.prediction.Classify(request)
    for fields in ([], ["graph"]):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = "demo"
        with refused(INVALID, "The only metadata_field is signature_def"):
            contract.prediction.GetModelMetadata(request)


def test_a_deadline_holds(contract):
    request = predict_request("slow", seconds=np.array([2.0], np.float32))
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED, ""):
        contract.prediction.Predict(request, timeout=0.3)
    control = predict_request("slow", seconds=np.array([0.05], np.float32))
    assert contract.prediction.Predict(control, timeout=20).outputs["waited"].float_val[0] > 0.04
