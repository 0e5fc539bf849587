"""The gRPC services of TensorFlow Serving: PredictionService and ModelService."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial

import grpc
from google.protobuf.message import DecodeError, Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
    regression_pb2,
)

from kerasft.serving.server.calls import Call, check_outputs, examples_call, request_call
from kerasft.serving.server.servable import Servable
from kerasft.serving.server.service import Service
from kerasft.serving.server.status import invalid
from kerasft.serving.server.tensors import proto_from_array


def add_services(server: grpc.aio.Server, service: Service) -> None:
    """Adds the services to a server.

    Requests come as bytes: gRPC's own reader answers bytes that are not the proto with `UNKNOWN`,
    and reads large ones in the event loop. Other methods are `UNIMPLEMENTED`.
    """
    for name, methods in _METHODS.items():
        handlers = {
            method: grpc.unary_unary_rpc_method_handler(_handler(service, kind, answer))
            for method, (kind, answer) in methods.items()
        }
        found = grpc.method_handlers_generic_handler(f"tensorflow.serving.{name}", handlers)
        server.add_generic_rpc_handlers((found,))


def _handler(service: Service, kind: type[Message], answer: Callable[..., Awaitable[Message]]):
    async def handle(body: bytes, context: grpc.aio.ServicerContext) -> bytes:
        left = context.time_remaining()
        seconds = min(math.inf if left is None else left, service.settings.seconds)
        with service.gate as gate:
            try:
                gate.check()
                parse = partial(_parse, kind, body)
                response = await service.within(seconds, answer(service, len(body), parse))
                return response.SerializeToString()
            except Exception as error:
                known = service.describe(error)
            return await context.abort(grpc.StatusCode[known.code], known.message)

    return handle


def _parse(kind: type[Message], body: bytes) -> Message:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise invalid(f"The request is not a {kind.DESCRIPTOR.name}.") from error


async def _predict(service: Service, size: int, parse: Callable[[], Message]) -> Message:
    def build() -> tuple[Servable, Call]:
        request = parse()
        servable = service.models.find(request.model_spec)
        return servable, request_call(servable, request)

    found, _, outputs = await service.predict(size, build)
    response = predict_pb2.PredictResponse(model_spec=found)
    for alias, array in outputs.items():
        response.outputs[alias].CopyFrom(proto_from_array(array))
    return response


async def _infer(method: str, service: Service, size: int, parse: Callable[[], Message]) -> Message:
    def build() -> tuple[Servable, Call]:
        request = parse()
        servable = service.models.find(request.model_spec)
        name = request.model_spec.signature_name
        return servable, examples_call(servable, method, name, request.input)

    found, call, outputs = await service.predict(size, build)
    check_outputs(method, call, outputs)
    if method == "regress":
        response = regression_pb2.RegressionResponse(model_spec=found)
        for value in outputs["outputs"].ravel().tolist():
            response.result.regressions.add(value=value)
        return response
    response = classification_pb2.ClassificationResponse(model_spec=found)
    columns = (outputs[alias].tolist() for alias in ("classes", "scores"))
    for row in zip(*columns, strict=True):
        example = response.result.classifications.add()
        for label, score in zip(*row, strict=True):
            example.classes.add(label=label.decode("utf-8", "replace"), score=score)
    return response


async def _metadata(service: Service, size: int, parse: Callable[[], Message]) -> Message:
    request = await service.beside_if_large(size, parse)
    return service.metadata(request.model_spec, request.metadata_field)


async def _status(service: Service, size: int, parse: Callable[[], Message]) -> Message:
    request = await service.beside_if_large(size, parse)
    return service.models.status(request.model_spec)


_METHODS = {
    "PredictionService": {
        "Predict": (predict_pb2.PredictRequest, _predict),
        "Classify": (classification_pb2.ClassificationRequest, partial(_infer, "classify")),
        "Regress": (regression_pb2.RegressionRequest, partial(_infer, "regress")),
        "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, _metadata),
    },
    "ModelService": {
        "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, _status),
    },
}
