"""The bodies of REST responses."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import get_model_metadata_pb2

from kerasft.serving.server.status import ServingError


def predict_body(outputs: Mapping[str, np.ndarray], *, in_rows: bool) -> bytes:
    """Returns `{"predictions": [...]}` for rows, `{"outputs": ...}` for columns.

    A single output loses its name; names ending in `_bytes` are base64. Raises `ServingError` if
    rows are wanted and the outputs have none.
    """
    sizes = {array.shape[:1] for array in outputs.values()}
    if in_rows and (len(sizes) > 1 or () in sizes):
        raise ServingError("INVALID_ARGUMENT", "The outputs have no rows: ask with 'inputs'.")
    columns = {name: _as_json(name, array) for name, array in sorted(outputs.items())}
    if len(columns) == 1:
        (found,) = columns.values()
    elif in_rows:
        cells = zip(*columns.values(), strict=True)
        found = [dict(zip(columns, row, strict=True)) for row in cells]
    else:
        found = columns
    return to_body({"predictions" if in_rows else "outputs": found})


def results_body(outputs: Mapping[str, np.ndarray]) -> bytes:
    """Returns `{"results": ...}`: `[[label, score], ...]` or a number, for each example."""
    if "outputs" in outputs:
        return to_body({"results": _shortest(outputs["outputs"].ravel())})
    rows = zip(*(_as_json("", outputs[name]) for name in ("classes", "scores")), strict=True)
    return to_body({"results": [list(zip(*row, strict=True)) for row in rows]})


def metadata_body(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """Returns the requested model and its signatures."""
    found = to_dict(response)
    del found["metadata"]["signature_def"]["@type"]
    return to_body(found)


def to_dict(message: Message) -> dict[str, Any]:
    """Returns a proto with the names of its fields, and all of them."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def to_body(value: object) -> bytes:
    """Returns JSON; NaN, Infinity and bytes that are not UTF-8 are written as the server does."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _as_json(name: str, array: np.ndarray) -> Any:
    """Returns an output as nested lists for `json`."""
    if array.dtype == object:
        write = np.frompyfunc(_as_base64 if name.endswith("_bytes") else _as_text, 1, 1)
        return np.array(write(array), object).tolist()
    if array.dtype in (np.float32, np.float16):
        return _shortest(array)
    if array.dtype.kind in "fiub":
        return array.tolist()
    raise ServingError("INVALID_ARGUMENT", f"{name} is {array.dtype}, which JSON has not.")


def _as_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _as_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _shortest(array: np.ndarray) -> Any:
    """Returns float32 numbers with as many digits as tell them apart: 0.1, not its double."""
    return array.astype(str).astype(np.float64).tolist()
