"""Runs a version's warm-up requests before any other request."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import prediction_log_pb2

from kerasft.export.layout import MAX_WARMUP_RECORDS, WARMUP
from kerasft.serving.server.calls import Call, examples_call, request_call
from kerasft.serving.server.servable import Servable
from kerasft.serving.server.status import ServingError, as_serving_error, invalid


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
                raise invalid(f"{path} has more than {MAX_WARMUP_RECORDS} records.")
            call = _call_of(servable, record)
            servable.run(call.signature_name, call.inputs)
    except tf.errors.OpError as error:  # the file itself is damaged
        raise as_serving_error(error) from error
    except ServingError as error:
        raise ServingError(error.code, f"warm-up record {number}: {error.message}") from error
    return number


def _call_of(servable: Servable, record: bytes) -> Call:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise invalid(f"{record[:40]!r} is not a PredictionLog.") from error
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        return request_call(servable, log.predict_log.request)
    if kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        method, name = kind.removesuffix("_log"), request.model_spec.signature_name
        return examples_call(servable, method, name, request.input)
    raise ServingError("UNIMPLEMENTED", f"{kind} is not run.")
