"""The bodies of REST responses."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    regression_pb2,
)

from kerasft.serving.server.status import ServingError, invalid


def predict_body(outputs: Mapping[str, np.ndarray], *, in_rows: bool) -> bytes:
    """Returns `{"predictions": [...]}` for rows, `{"outputs": ...}` for columns.

    A single output loses its name; names ending in `_bytes` are base64. Raises `ServingError` if
    the outputs have no rows.
    """
    if not in_rows:
        columns = {name: _as_json(name, array) for name, array in sorted(outputs.items())}
        if len(columns) == 1:
            (columns,) = columns.values()
        return _to_body({"outputs": columns})
    size = None
    for name, array in sorted(outputs.items()):
        if not array.ndim:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size is not None and len(array) != size:
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}"
            )
        size = len(array)
    columns = {name: _as_json(name, array) for name, array in sorted(outputs.items())}
    if len(columns) == 1:
        (rows,) = columns.values()
    else:
        cells = zip(*columns.values(), strict=True)
        rows = [dict(zip(columns, row, strict=True)) for row in cells]
    return _to_body({"predictions": rows})


def classify_body(result: classification_pb2.ClassificationResult) -> bytes:
    """Returns `{"results": [[[label, score], ...], ...]}`."""
    return _to_body(
        {
            "results": [
                [[found.label, _float32(found.score)] for found in one.classes]
                for one in result.classifications
            ]
        }
    )


def regress_body(result: regression_pb2.RegressionResult) -> bytes:
    """Returns `{"results": [number, ...]}`."""
    return _to_body({"results": [_float32(one.value) for one in result.regressions]})


def status_body(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """Returns the state of each version."""
    return _to_body(_message(response))


def metadata_body(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """Returns the requested model and its signatures."""
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    found = {
        "model_spec": _message(response.model_spec),
        "metadata": {"signature_def": _message(signatures)},
    }
    return _to_body(found)


def error_body(message: str) -> bytes:
    """Returns `{"error": "..."}`."""
    return _to_body({"error": message})


def _message(message: Message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _to_body(value: object) -> bytes:
    # NaN, Infinity and bytes that are no UTF-8 are written as in the server. It adds line breaks,
    # which have no meaning and would take ten times as long here.
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _as_json(name: str, array: np.ndarray) -> Any:
    """Returns an output as nested lists for `json`."""
    if array.dtype == object:
        write = _as_base64 if name.endswith("_bytes") else _as_text
        flat = [write(value) for value in array.ravel().tolist()]
    elif array.dtype in (np.float32, np.float16):
        flat = _shortest(array.ravel().astype(np.float32))
    elif array.dtype.kind in "fiub":
        return array.tolist()
    else:
        raise ServingError(
            "INVALID_ARGUMENT", f"Failed to write JSON value for tensor type: {array.dtype}"
        )
    shaped = np.empty(len(flat), dtype=object)
    shaped[:] = flat
    return shaped.reshape(array.shape).tolist()


def _as_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _as_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _shortest(array: np.ndarray) -> list[float]:
    """Returns float32 numbers as the server writes them: six digits if exact, else nine."""
    short = np.char.mod("%.6g", array).astype(np.float64)
    exact = np.char.mod("%.9g", array).astype(np.float64)
    with np.errstate(over="ignore"):  # a rounded number may exceed the largest
        same = (short.astype(np.float32) == array) | np.isnan(array)
    return np.where(same, short, exact).tolist()


def _float32(value: float) -> float:
    return _shortest(np.array([value], np.float32))[0]
