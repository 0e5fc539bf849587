"""The bodies of REST requests: `instances` or `inputs` for predict, `examples` for the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import input_pb2

from kerasft.serving.server.http.json_tensor import build_array, check_lossless
from kerasft.serving.server.http.json_text import (
    decode_base64,
    format_error,
    is_base64,
    show,
    text_bytes,
    type_name,
)
from kerasft.serving.server.status import ServingError, invalid


def signature_name_of(body: Mapping[str, Any]) -> str:
    """Returns the signature name in a request, or an empty string."""
    name = body.get("signature_name", "")
    if not isinstance(name, str):
        raise format_error(
            body, "not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def read_tensors(body: Mapping[str, Any], infos: Mapping) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the tensors of a predict request, and whether they came in rows (`instances`).

    `infos` is the `TensorInfo` of each input, by name.
    """
    if "instances" in body and "inputs" in body:
        raise format_error(
            body,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        )
    if "instances" in body:
        instances = body["instances"]
        if not isinstance(instances, list):
            raise format_error(body, "Excepting 'instances' to be an list/array")
        if not instances:
            raise format_error(body, "No values in 'instances' array")
        return _read_rows(instances, infos), True
    if "inputs" in body:
        return _read_columns(body["inputs"], infos), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_columns(inputs: object, infos: Mapping) -> dict[str, np.ndarray]:
    if not isinstance(inputs, dict) or is_base64(inputs):
        if len(infos) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        (name,) = infos
        return {name: build_array(inputs, infos[name].dtype)}
    missing = next((name for name in sorted(infos) if name not in inputs), None)
    if missing is not None:
        raise invalid(f"Missing named input: {missing} in 'inputs' object.")
    return {name: build_array(inputs[name], info.dtype) for name, info in infos.items()}


def _read_rows(instances: list, infos: Mapping) -> dict[str, np.ndarray]:
    if len(infos) > 1 and not isinstance(instances[0], dict):
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    are_objects = _is_object(instances[0])
    rows: dict[str, list[np.ndarray]] = {name: [] for name in infos}
    for number, row in enumerate(instances):
        if are_objects != _is_object(row):
            expected = "object but got list" if are_objects else "value/list but got object"
            raise invalid(f"Expecting {expected} at item {number} of input list")
        if not are_objects:
            (name,) = infos
            _add(rows[name], row, infos[name].dtype, f"{number}")
            continue
        for name, value in row.items():
            if name not in infos:
                fault = invalid(f"JSON object: does not have named input: {name}")
                raise _element_fault(f"{number} key: {name}", fault)
            _add(rows[name], value, infos[name].dtype, f"{number} key: {name}")
        if row.keys() != infos.keys():
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: "
                f"{show(row)} keys must be equal to: {','.join(sorted(infos))}"
            )
    return {name: np.stack(arrays) for name, arrays in rows.items()}


def _add(arrays: list[np.ndarray], value: object, dtype: int, where: str) -> None:
    """Adds an instance's tensor, which must have the shape of the first."""
    try:
        array = build_array(value, dtype)
        if arrays and array.size != arrays[0].size:
            raise invalid(f"Expecting tensor size: {arrays[0].size} but got: {array.size}")
        if arrays and array.shape != arrays[0].shape:
            first, found = (",".join(map(str, a.shape)) for a in (arrays[0], array))
            raise invalid(f"Expecting shape [{first}] but got: [{found}]")
    except ServingError as error:
        raise _element_fault(where, error) from error
    arrays.append(array)


def _element_fault(where: str, error: ServingError) -> ServingError:
    return invalid(
        f"Failed to process element: {where} of 'instances' list. "
        f"Error: {error.code}: {error.message}"
    )


def _is_object(value: object) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def read_examples(body: Mapping[str, Any]) -> input_pb2.Input:
    """Returns the examples of a classify or regress request."""
    found = input_pb2.Input()
    target = found.example_list
    if "context" in body:
        target = found.example_list_with_context
        target.context.CopyFrom(_read_example(body["context"]))
    if "examples" not in body:
        raise format_error(
            body, "When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(body["examples"], list):
        raise format_error(body, "Expecting 'examples' value to be an list/array")
    if not body["examples"]:
        raise format_error(body, "'examples' value is an empty array")
    target.examples.extend(_read_example(example) for example in body["examples"])
    return found


def _read_example(value: object) -> tf.train.Example:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    example = tf.train.Example()
    for name, content in value.items():
        feature = tf.train.Feature()
        for one in content if isinstance(content, list) else [content]:
            _add_to_feature(feature, text_bytes(name).decode("utf-8", "replace"), one)
        example.features.feature[text_bytes(name).decode("utf-8", "replace")].CopyFrom(feature)
    return example


def _add_to_feature(feature: tf.train.Feature, name: str, value: object) -> None:
    """Adds a value to a feature; the first value sets its type."""
    if value is None or isinstance(value, list) or (_is_object(value)):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {type_name(value)}")
    if isinstance(value, str | dict):
        kind = "bytes_list"
        converted = text_bytes(value) if isinstance(value, str) else decode_base64(value)
    elif isinstance(value, float):
        kind, converted = "float_list", value
    else:
        kind, converted = "int64_list", int(value)
    settled = feature.WhichOneof("kind")
    if settled not in (None, kind):
        raise invalid(
            f"Unexpected element type in feature: {name} "
            f"expecting type: {settled.removesuffix('_list')}"
        )
    if kind == "float_list":
        check_lossless(value, "float")
    if kind == "int64_list" and not -(2**63) <= converted < 2**63:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    getattr(feature, kind).value.append(converted)
