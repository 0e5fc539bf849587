"""Predict, Classify and Regress: from a request to graph inputs, and checks of the outputs.

Used by REST, gRPC and warm-up records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import input_pb2, predict_pb2

from kerasft.export.layout import TOKEN_INPUTS
from kerasft.serving.server.servable import Servable
from kerasft.serving.server.status import ServingError, invalid
from kerasft.serving.server.tensors import array_from_proto, check_rows, is_batched

Arrays = Mapping[str, np.ndarray]
Specs = Mapping[str, tf.TensorSpec]
# Outputs that a signature for `tf.train.Example` needs, and their type and number of axes.
_OUTPUTS = {
    "classify": {"classes": (object, 2), "scores": (np.float32, 2)},
    "regress": {"outputs": (np.float32, 1)},
}
_EXAMPLES = "inputs"


class Call(NamedTuple):
    """A checked request: the signature, its inputs by name, and the wanted outputs."""

    signature_name: str
    inputs: Arrays
    outputs: tuple[str, ...]


def predict_call(
    servable: Servable,
    signature_name: str,
    build_inputs: Callable[[Specs], Arrays],
    output_filter: Sequence[str] = (),
) -> Call:
    """Builds and checks a Predict request; raises `ServingError`.

    Args:
        servable: The model.
        signature_name: Empty: `serving_default`.
        build_inputs: Returns the inputs of a request, given the specs of the signature's inputs.
        output_filter: Names of the wanted outputs; empty: all.
    """
    name, specs, known = servable.find_signature(signature_name)
    unknown = [alias for alias in output_filter if alias not in known]
    if unknown or len(set(output_filter)) != len(output_filter):
        raise invalid(f"The outputs are {', '.join(sorted(known))}, not {list(output_filter)}.")
    inputs = build_inputs(specs)
    sizes = {alias: len(inputs[alias]) for alias, spec in specs.items() if is_batched(spec)}
    if len(set(sizes.values())) > 1:
        raise invalid(f"All inputs need the same number of rows: {sizes}.")
    if inputs.keys() == set(TOKEN_INPUTS) and len({array.shape for array in inputs.values()}) > 1:
        raise invalid(f"{', '.join(TOKEN_INPUTS)} need the same shape.")
    return Call(name, inputs, tuple(output_filter) or tuple(sorted(known)))


def check_names(names: set[str], specs: Specs) -> None:
    """Checks that a request names the inputs of its signature; raises `ServingError`."""
    if names != specs.keys():
        found = ", ".join(sorted(names)) or "none"
        raise invalid(f"The inputs must be {', '.join(sorted(specs))}, not {found}.")


def request_call(servable: Servable, request: predict_pb2.PredictRequest) -> Call:
    """Checks the proto of a Predict request; raises `ServingError`."""

    def build_inputs(specs: Specs) -> Arrays:
        check_names(set(request.inputs), specs)
        return {
            alias: array_from_proto(request.inputs[alias], spec, servable.most_rows)
            for alias, spec in specs.items()
        }

    name = request.model_spec.signature_name
    return predict_call(servable, name, build_inputs, request.output_filter)


def examples_call(
    servable: Servable,
    method: str,
    signature_name: str,
    examples: input_pb2.Input,
) -> Call:
    """Checks a request of `method` `classify` or `regress`; raises `ServingError`."""
    name, specs, known = servable.find_signature(signature_name)
    outputs = _OUTPUTS[method].keys()
    if specs.keys() != {_EXAMPLES} or not outputs <= known:
        raise invalid(f"The signature {name} is not for {method}.")
    found = examples.example_list.examples
    if not found:
        raise invalid("The request has no examples, or a list with a context.")
    check_rows(len(found), servable.most_rows)
    serialized = np.array([one.SerializeToString() for one in found], dtype=object)
    return Call(name, {_EXAMPLES: serialized}, tuple(outputs))


def check_outputs(method: str, call: Call, outputs: Arrays) -> None:
    """Raises `ServingError` if an output does not have a row for each example."""
    size = len(call.inputs[_EXAMPLES])
    for alias in call.outputs:
        array, (dtype, axes) = outputs[alias], _OUTPUTS[method][alias]
        is_column = method == "regress" and array.shape == (size, 1)
        has_rows = array.ndim == axes and len(array) == size
        if array.dtype != dtype or not (has_rows or is_column):
            raise ServingError(
                "FAILED_PRECONDITION",
                f"The output {alias} of {call.signature_name} does not suit {method}: "
                f"{array.dtype} {list(array.shape)}.",
            )
