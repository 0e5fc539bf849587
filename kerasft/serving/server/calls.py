"""Predict, Classify and Regress: from a request to graph inputs, and from outputs to a response.

Used by REST, gRPC and warm-up records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from kerasft.serving.server.servable import Servable
from kerasft.serving.server.status import ServingError, invalid

DEFAULT_SIGNATURE = "serving_default"
Arrays = Mapping[str, np.ndarray]


class Call(NamedTuple):
    """A checked request: the signature, its inputs by name, and the wanted outputs."""

    signature_name: str
    inputs: Arrays
    outputs: tuple[str, ...]


def predict_call(
    servable: Servable, signature_name: str, inputs: Arrays, output_filter: Sequence[str] = ()
) -> Call:
    """Checks a Predict request.

    An empty `signature_name` is `serving_default`; an empty `output_filter` is all outputs.
    """
    name = signature_name or DEFAULT_SIGNATURE
    signature = servable.find_signature(name)
    if signature is None:
        raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
    _check_inputs(set(inputs), set(signature.inputs))
    known = sorted(signature.outputs)
    for number, alias in enumerate(output_filter):
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in "
                f"the set {{{','.join(known)}}}."
            )
        if alias in output_filter[:number]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return Call(name, inputs, tuple(output_filter) or tuple(known))


def _check_inputs(given: set[str], known: set[str]) -> None:
    extra, missing = sorted(given - known), sorted(known - given)
    if len(given) != len(known):
        raise invalid(
            f"input size does not match signature: {len(given)}!={len(known)} "
            f"len({{{','.join(sorted(given))}}}) != len({{{','.join(sorted(known))}}}). "
            f"Sent extra: {{{','.join(extra)}}}. Missing but required: {{{','.join(missing)}}}."
        )
    if extra:
        raise invalid(
            f"input tensor alias not found in signature: {extra[0]}. Inputs expected to be in the "
            f"set {{{','.join(sorted(known))}}}."
        )


def classify_call(servable: Servable, signature_name: str, examples: input_pb2.Input) -> Call:
    """Checks a Classify request."""
    name, signature = _find_for_examples(servable, signature_name)
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise ServingError(
            "FAILED_PRECONDITION", f"No classification inputs found in SignatureDef: {signature}"
        )
    outputs = tuple(alias for alias in ("classes", "scores") if alias in signature.outputs)
    if not outputs:
        raise ServingError(
            "FAILED_PRECONDITION",
            "Expected classification signature outputs to contain at least one of "
            f'"classes" or "scores". Signature was: {signature}',
        )
    return Call(name, {"inputs": _serialized(examples)}, outputs)


def regress_call(servable: Servable, signature_name: str, examples: input_pb2.Input) -> Call:
    """Checks a Regress request."""
    name, signature = _find_for_examples(servable, signature_name)
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    for kind, found in (("inputs", signature.inputs), ("outputs", signature.outputs)):
        if kind not in found:
            raise ServingError(
                "FAILED_PRECONDITION", f"No regression {kind} found in SignatureDef: {signature}"
            )
    return Call(name, {"inputs": _serialized(examples)}, ("outputs",))


def _find_for_examples(servable: Servable, signature_name: str):
    name = signature_name or DEFAULT_SIGNATURE
    signature = servable.find_signature(name)
    if signature is None:
        raise invalid(f"No signature was found with the name: {name}")
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    return name, signature


def _serialized(examples: input_pb2.Input) -> np.ndarray:
    """Returns the examples as the graph parses them, each prefixed with the context."""
    context = b""
    found = examples.example_list.examples
    if examples.WhichOneof("kind") == "example_list_with_context":
        found = examples.example_list_with_context.examples
        context = examples.example_list_with_context.context.SerializeToString()
    if not found:
        raise invalid("Input is empty.")
    serialized = [context + example.SerializeToString() for example in found]
    return np.array(serialized, dtype=object)


def classification_result(call: Call, outputs: Arrays) -> classification_pb2.ClassificationResult:
    """Returns labels and scores of each example; raises `ServingError` for other outputs."""
    size = len(call.inputs["inputs"])
    for alias, dtype in (("classes", object), ("scores", np.float32)):
        array = outputs.get(alias)
        if array is None:
            continue
        if array.ndim != 2:
            shape = ",".join(map(str, array.shape))
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got [{shape}]")
        if array.dtype != dtype:
            expected = "DT_STRING" if dtype is object else "DT_FLOAT"
            found = tf.as_dtype(array.dtype).name
            raise invalid(f"Expected {alias} Tensor of {expected}. Got: DT_{found.upper()}")
        if len(array) != size:
            raise invalid(f"Expected {alias} output batch size of {size}. Got: {len(array)}")
    classes, scores = outputs.get("classes"), outputs.get("scores")
    result = classification_pb2.ClassificationResult()
    for row in range(size):
        one = result.classifications.add()
        for column in range((classes if scores is None else scores).shape[1]):
            found = one.classes.add()
            if classes is not None:
                found.label = classes[row, column].decode("utf-8", "replace")
            if scores is not None:
                found.score = scores[row, column]
    return result


def regression_result(call: Call, outputs: Arrays) -> regression_pb2.RegressionResult:
    """Returns the number of each example; raises `ServingError` for other outputs."""
    size, array = len(call.inputs["inputs"]), outputs["outputs"]
    if array.ndim != 1 and array.shape[1:] != (1,):
        shape = ",".join(map(str, array.shape))
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"[{shape}]"
        )
    if len(array) != size:
        raise invalid(f"Input batch size did not match output batch size: {size} vs. {len(array)}")
    if array.dtype != np.float32:
        found = "STRING" if array.dtype == object else tf.as_dtype(array.dtype).name.upper()
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: DT_{found}")
    result = regression_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result
