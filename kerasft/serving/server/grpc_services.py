"""The gRPC services of TensorFlow Serving: PredictionService and ModelService."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable

import grpc
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from kerasft.serving.server.answering import answered_by, beside_if_large, build_metadata, compute
from kerasft.serving.server.calls import (
    classification_result,
    classify_call,
    predict_call,
    regress_call,
    regression_result,
)
from kerasft.serving.server.limits import Limits
from kerasft.serving.server.models import Models
from kerasft.serving.server.servable import Servable
from kerasft.serving.server.status import ServingError, invalid
from kerasft.serving.server.tensors import array_from_proto, proto_from_array
from kerasft.serving.server.warmup import task_call

_MOST_CHARACTERS = 1024  # of a message, as in the server


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, models: Models, limits: Limits, log: Callable[[str], None]):
        self._models = models
        self._limits = limits
        self._log = log

    async def Predict(self, request, context):  # noqa: N802 - the service's own name
        """Computes a signature's outputs."""
        return await self._in_time(self._predict, request, context)

    async def Classify(self, request, context):  # noqa: N802
        """Classifies examples."""
        return await self._in_time(self._classify, request, context)

    async def Regress(self, request, context):  # noqa: N802
        """Returns a number per example."""
        return await self._in_time(self._regress, request, context)

    async def MultiInference(self, request, context):  # noqa: N802
        """Classifies and regresses the same examples."""
        return await self._in_time(self._several, request, context)

    async def GetModelMetadata(self, request, context):  # noqa: N802
        """Returns a model's signatures."""
        return await _guarded(self._metadata(request), self, context)

    async def _in_time(self, answer: Callable[..., Awaitable[Message]], request, context):
        """Waits for a response within the time limits of the caller and the server."""
        left = context.time_remaining()
        seconds = self._limits.seconds if left is None else min(left, self._limits.seconds)
        return await _guarded(answer(request, seconds), self, context)

    async def _predict(self, request: predict_pb2.PredictRequest, seconds: float):
        servable = _find(self._models, request)
        size, most = request.ByteSize(), self._limits.body_bytes
        inputs = await beside_if_large(
            size,
            lambda: {
                name: array_from_proto(proto, name, most_bytes=16 * most)
                for name, proto in request.inputs.items()
            },
        )
        spec = request.model_spec
        call = predict_call(servable, spec.signature_name, inputs, request.output_filter)
        outputs = await compute(servable, call, seconds)
        response = predict_pb2.PredictResponse()
        response.model_spec.CopyFrom(answered_by(servable, spec.signature_name))
        for alias, array in outputs.items():
            response.outputs[alias].CopyFrom(proto_from_array(array))
        return response

    async def _classify(self, request: classification_pb2.ClassificationRequest, seconds: float):
        servable = _find(self._models, request)
        call = classify_call(servable, request.model_spec.signature_name, request.input)
        outputs = await compute(servable, call, seconds)
        return classification_pb2.ClassificationResponse(
            result=classification_result(call, outputs),
            model_spec=answered_by(servable, call.signature_name),
        )

    async def _regress(self, request: regression_pb2.RegressionRequest, seconds: float):
        servable = _find(self._models, request)
        call = regress_call(servable, request.model_spec.signature_name, request.input)
        outputs = await compute(servable, call, seconds)
        return regression_pb2.RegressionResponse(
            result=regression_result(call, outputs),
            model_spec=answered_by(servable, call.signature_name),
        )

    async def _several(self, request: inference_pb2.MultiInferenceRequest, seconds: float):
        if not request.tasks:
            raise invalid("Inference request must have at least one task.")
        if len({task.model_spec.name for task in request.tasks}) > 1:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        names = [task.model_spec.signature_name for task in request.tasks]
        for number, name in enumerate(names):
            if name in names[:number]:
                raise invalid(f"Duplicate evaluation of signature: {name}")
        response = inference_pb2.MultiInferenceResponse()
        for task in request.tasks:
            servable = _find(self._models, task)
            call = task_call(servable, task, request.input)
            outputs = await compute(servable, call, seconds)
            result = response.results.add(model_spec=answered_by(servable, call.signature_name))
            if task.method_name.endswith("classify"):
                result.classification_result.CopyFrom(classification_result(call, outputs))
            else:
                result.regression_result.CopyFrom(regression_result(call, outputs))
        return response

    async def _metadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest):
        _check_model_spec(request)
        return build_metadata(self._models, request.model_spec, request.metadata_field)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus. HandleReloadConfigRequest is refused: callers cannot change the models."""

    def __init__(self, models: Models, log: Callable[[str], None]):
        self._models = models
        self._log = log

    async def GetModelStatus(self, request, context):  # noqa: N802
        """Returns the state of a model's versions."""
        return await _guarded(self._status(request), self, context)

    async def HandleReloadConfigRequest(self, request, context):  # noqa: N802
        """Refuses."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "The embedded server has no such thing.")

    async def _status(self, request: get_model_status_pb2.GetModelStatusRequest):
        _check_model_spec(request)
        return self._models.status(request.model_spec)


def _check_model_spec(request: Message) -> None:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")


def _find(models: Models, request: Message) -> Servable:
    _check_model_spec(request)
    return models.find(request.model_spec)


async def _guarded(answer: Awaitable[Message], service, context) -> Message:
    """Waits for a response; turns errors into the call's status, and logs tracebacks of bugs."""
    try:
        return await answer
    except ServingError as error:
        code, message = grpc.StatusCode[error.code], error.message
    except Exception:
        service._log(traceback.format_exc())
        code, message = grpc.StatusCode.INTERNAL, "Internal error."
    return await context.abort(code, message[:_MOST_CHARACTERS])
