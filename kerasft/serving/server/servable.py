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
from kerasft.export.layout import GRAPH
from kerasft.serving.server.batching import Batcher
from kerasft.serving.server.status import ServingError, as_serving_error, invalid
from kerasft.serving.server.tensors import dtype_name


class Servable:
    """A loaded version of a model.

    Attributes:
        signatures: All signatures in `saved_model.pb`, by name.
        batcher: Computes requests; set by the code that loads it.
    """

    batcher: Batcher

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

    def find_signature(self, name: str) -> meta_graph_pb2.SignatureDef | None:
        """Returns a callable signature, `None` if there is none of that name."""
        return self.signatures[name] if name in self._model.signatures else None

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Computes all outputs of a signature; raises `ServingError` on bad inputs or failure."""
        infos = self.signatures[signature_name].inputs
        tensors = {name: _to_tensor(array, name, infos[name]) for name, array in inputs.items()}
        try:
            outputs = self._model.signatures[signature_name](**tensors)
        except tf.errors.OpError as error:
            raise as_serving_error(error) from error
        except (TypeError, ValueError) as error:  # e.g. an input that has a default is missing
            raise invalid(first_line(error)) from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}


def _to_tensor(array: np.ndarray, name: str, info: meta_graph_pb2.TensorInfo) -> tf.Tensor:
    expected = tf.as_dtype(info.dtype)
    found = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    if found != expected:
        raise invalid(
            f"Expects arg[0] to be {dtype_name(info.dtype)} but "
            f"{dtype_name(found.as_datatype_enum)} is provided"
        )
    shape = tf.TensorShape(info.tensor_shape)
    if not shape.is_compatible_with(array.shape):
        raise invalid(
            f"input {name} has the shape {list(array.shape)}, and the signature takes "
            f"{'any' if shape.rank is None else shape.as_list()}"
        )
    return tf.constant(array, expected)


def load_servable(name: str, version: int, folder: Path) -> Servable:
    """Loads a version; raises `ServingError` if it is damaged or needs another TensorFlow."""
    try:
        saved = saved_model_pb2.SavedModel.FromString((folder / GRAPH).read_bytes())
        graphs = [graph for graph in saved.meta_graphs if "serve" in graph.meta_info_def.tags]
    except DecodeError as error:
        raise ServingError("DATA_LOSS", f"Can't parse {folder / GRAPH} as binary proto") from error
    except OSError as error:
        raise ServingError("NOT_FOUND", f"{folder / GRAPH}: {error.strerror}") from error
    if not graphs:
        raise ServingError(
            "NOT_FOUND",
            f"Could not find meta graph def matching supplied tags: {{ serve }} {folder}",
        )
    try:
        model = tf.saved_model.load(str(folder))
    except Exception as error:  # the loader raises all kinds of exceptions for damage
        raise as_serving_error(error) from error
    return Servable(name, version, model, dict(graphs[0].signature_def))
