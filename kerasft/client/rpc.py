"""TensorFlow Serving's gRPC client. Its protos import TensorFlow: import this when needed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # each failed connection would be reported twice

import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from kerasft.client.address import Address
from kerasft.client.credentials import Tls
from kerasft.client.failures import CallError, Why
from kerasft.client.signature import CLASSIFY
from kerasft.export.layout import SIGNATURE

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_http_proxy", 0),  # as for REST: a model's server is local
    # Each retry must reconnect, not repeat the last failure.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]
_CODES = {
    grpc.StatusCode.INVALID_ARGUMENT: Why.REFUSED,
    grpc.StatusCode.FAILED_PRECONDITION: Why.REFUSED,
    grpc.StatusCode.OUT_OF_RANGE: Why.REFUSED,
    grpc.StatusCode.UNAUTHENTICATED: Why.NOT_ALLOWED,
    grpc.StatusCode.PERMISSION_DENIED: Why.NOT_ALLOWED,
    grpc.StatusCode.NOT_FOUND: Why.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED: Why.ANOTHER_SERVICE,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Why.BUSY,
    grpc.StatusCode.UNAVAILABLE: Why.BUSY,
    grpc.StatusCode.CANCELLED: Why.CUT_OFF,  # by the server, which stops
    grpc.StatusCode.DEADLINE_EXCEEDED: Why.TIMED_OUT,
}
# Other meanings of UNAVAILABLE and RESOURCE_EXHAUSTED, by gRPC's messages.
_WORDS = {
    "handshake": Why.TLS,
    "certificate": Why.TLS,
    "verification check failed": Why.TLS,
    "dns resolution failed": Why.UNKNOWN_HOST,
    "errors resolving": Why.UNKNOWN_HOST,
    "http1.x": Why.ANOTHER_SERVICE,
    "failed parsing http/2": Why.ANOTHER_SERVICE,
    "larger than max": Why.TOO_LARGE,
    "socket closed": Why.CUT_OFF,
    "connection reset": Why.CUT_OFF,
    "failed to connect": Why.UNREACHABLE,
    "connection refused": Why.UNREACHABLE,
}


class GrpcConnection:
    """Calls TensorFlow Serving's gRPC over one channel; thread-safe."""

    def __init__(self, address: Address, headers: Mapping[str, str], tls: Tls):
        self._metadata = tuple(headers.items())
        self._address = address
        if address.is_secure:
            credentials = grpc.ssl_channel_credentials(*tls.contents())
            self._channel = grpc.secure_channel(address.server, credentials, _OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address.server, _OPTIONS)
        self._prediction = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)

    def signatures(self, timeout: float) -> dict[str, Any]:
        """Returns the model's signatures by name, as in JSON."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec(), metadata_field=["signature_def"]
        )
        answer = self._ask(self._prediction.GetModelMetadata, request, timeout)
        found = get_model_metadata_pb2.SignatureDefMap()
        if not answer.metadata["signature_def"].Unpack(found):
            raise CallError(Why.ANOTHER_SERVICE, "metadata without signatures")
        options = {"preserving_proto_field_name": True}
        return json_format.MessageToDict(found, **options).get("signature_def", {})

    def predict(self, columns: Mapping[str, Sequence[str]], timeout: float) -> dict[str, Any]:
        """Returns the outputs of the text signature by name, as arrays."""
        request = predict_pb2.PredictRequest(model_spec=self._spec(SIGNATURE))
        for name, texts in columns.items():
            column = [_bytes(text) for text in texts]
            request.inputs[name].CopyFrom(tf.make_tensor_proto(column, tf.string))
        answer = self._ask(self._prediction.Predict, request, timeout)
        try:
            return {name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}
        except (TypeError, ValueError) as error:
            raise CallError(Why.ANOTHER_SERVICE, "an answer with a broken tensor") from error

    def classify(self, example: Mapping[str, str], timeout: float) -> tuple[str, ...]:
        """Returns the labels of one example, in the signature's order."""
        request = classification_pb2.ClassificationRequest(model_spec=self._spec(CLASSIFY))
        features = request.input.example_list.examples.add().features.feature
        for name, text in example.items():
            features[name].bytes_list.value.append(_bytes(text))
        answer = self._ask(self._prediction.Classify, request, timeout)
        (row,) = answer.result.classifications or [classification_pb2.Classifications()]
        return tuple(found.label for found in row.classes)

    def states(self, timeout: float) -> list[tuple[int, str, str]]:
        """Returns number, state and error message of each version that the server knows."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._address.model
        answer = self._ask(self._models.GetModelStatus, request, timeout)
        names = get_model_status_pb2.ModelVersionStatus.State
        return [
            (found.version, names.Name(found.state), found.status.error_message)
            for found in answer.model_version_status
        ]

    def close(self) -> None:
        """Closes the channel; running calls are cancelled."""
        self._channel.close()

    def _spec(self, signature: str = "") -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec(name=self._address.model, signature_name=signature)
        if self._address.version is not None:
            spec.version.value = self._address.version
        elif self._address.label is not None:
            spec.version_label = self._address.label
        return spec

    def _ask(self, method, request, timeout: float):
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            code, detail = error.code(), error.details() or error.code().name
            why = _CODES.get(code, Why.SERVER_ERROR)
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                said = (meant for words, meant in _WORDS.items() if words in detail.lower())
                why = next(said, why)
            raise CallError(why, detail.rpartition("last error: ")[2]) from error
        except ValueError as error:  # the channel was closed by another thread
            raise CallError(Why.REFUSED, str(error)) from error


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # a lone surrogate, which the graph drops
