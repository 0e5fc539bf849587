"""Runs a version's warm-up requests before any other request."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import inference_pb2, prediction_log_pb2

from kerasft.export.layout import MAX_WARMUP_RECORDS, WARMUP
from kerasft.serving.server.calls import Call, classify_call, predict_call, regress_call
from kerasft.serving.server.servable import Servable
from kerasft.serving.server.status import ServingError, as_serving_error, invalid
from kerasft.serving.server.tensors import array_from_proto

_MOST_BYTES = 1 << 28


def warm_up(servable: Servable, folder: Path) -> int:
    """Runs a version's warm-up records; returns their number.

    Raises:
        ServingError: If a record is unreadable or fails, or there are too many. The server refuses
            such a version, too.
    """
    path = folder / WARMUP
    if not path.is_file():
        return 0
    number = 0
    try:
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            number += 1
            if number > MAX_WARMUP_RECORDS:
                raise invalid(
                    f"Number of warmup records exceeds the maximum ({MAX_WARMUP_RECORDS}) at {path}"
                )
            for call in _calls_of(servable, _parse(record, path)):
                servable.run(call.signature_name, call.inputs)
    except tf.errors.OpError as error:  # the file itself is damaged
        raise as_serving_error(error) from error
    except ServingError as error:
        raise ServingError(error.code, f"warm-up record {number}: {error.message}") from error
    return number


def _parse(record: bytes, path: Path) -> prediction_log_pb2.PredictionLog:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid(f"Failed to parse warmup record: {record[:40]!r} from {path}") from error


def _calls_of(servable: Servable, log: prediction_log_pb2.PredictionLog) -> list[Call]:
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        inputs = {
            name: array_from_proto(proto, name, most_bytes=_MOST_BYTES)
            for name, proto in request.inputs.items()
        }
        name = request.model_spec.signature_name
        return [predict_call(servable, name, inputs, request.output_filter)]
    if kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        call = classify_call if kind == "classify_log" else regress_call
        return [call(servable, request.model_spec.signature_name, request.input)]
    if kind == "multi_inference_log":
        request = log.multi_inference_log.request
        return [task_call(servable, task, request.input) for task in request.tasks]
    raise ServingError("UNIMPLEMENTED", f"Unsupported log_type for warmup: {kind}")


def task_call(servable: Servable, task: inference_pb2.InferenceTask, examples) -> Call:
    """Checks one task of a MultiInference request: classify or regress."""
    method = task.method_name.removeprefix("tensorflow/serving/")
    calls = {"classify": classify_call, "regress": regress_call}
    if method not in calls:
        raise ServingError(
            "UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}"
        )
    return calls[method](servable, task.model_spec.signature_name, examples)
