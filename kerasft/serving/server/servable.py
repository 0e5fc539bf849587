"""A loaded version of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers the ops of the graph
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from kerasft.errors import first_line
from kerasft.export.layout import GRAPH, SIGNATURE
from kerasft.serving.server.batching import Batcher
from kerasft.serving.server.settings import MOST_VALUES
from kerasft.serving.server.status import ServingError, as_serving_error, invalid


class Servable:
    """A loaded version of a model.

    Attributes:
        signatures: All signatures in `saved_model.pb`, by name.
        batcher: Computes requests; set by the code that loads it.
        most_rows: Most examples of a request.
    """

    batcher: Batcher
    most_rows = MOST_VALUES

    def __init__(
        self,
        name: str,
        version: int,
        model,
        signatures: Mapping[str, meta_graph_pb2.SignatureDef],
    ):
        self.name = name
        self.version = version
        self.signatures = signatures
        self._model = model  # owns the variables that the signatures read
        self._specs = {
            name: {
                alias: tf.TensorSpec(info.tensor_shape, info.dtype, alias)
                for alias, info in signature.inputs.items()
            }
            for name, signature in signatures.items()
            if name in model.signatures
        }

    def find_signature(self, name: str) -> tuple[str, dict[str, tf.TensorSpec], set[str]]:
        """Returns the name of a callable signature, its inputs by name, and its outputs' names.

        An empty name is `serving_default`. Raises `ServingError` for an unknown one.
        """
        name = name or SIGNATURE
        if name not in self._specs:
            known = ", ".join(sorted(self._specs))
            raise ServingError("FAILED_PRECONDITION", f"No signature {name!r}, but {known}.")
        return name, self._specs[name], set(self.signatures[name].outputs)

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Computes all outputs of a signature; raises `ServingError` on bad inputs or failure."""
        specs = self._specs[signature_name]
        try:
            tensors = {
                name: tf.constant(array, specs[name].dtype) for name, array in inputs.items()
            }
            outputs = self._model.signatures[signature_name](**tensors)
        except tf.errors.OpError as error:
            raise as_serving_error(error) from error
        except (TypeError, ValueError) as error:
            raise invalid(first_line(error)) from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def load_servable(name: str, version: int, folder: Path) -> Servable:
    """Loads a version; raises `ServingError` if it is damaged or needs another TensorFlow."""
    path = folder / GRAPH
    try:
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
        graphs = [graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags]
    except DecodeError as error:
        raise ServingError("DATA_LOSS", f"{path} is damaged.") from error
    if not graphs:
        raise ServingError("NOT_FOUND", f"{path} has no graph with the tag 'serve'.")
    try:
        model = tf.saved_model.load(str(folder))
    except Exception as error:  # the loader raises all kinds of exceptions for damage
        raise as_serving_error(error) from error
    return Servable(name, version, model, dict(graphs[0].signature_def))
