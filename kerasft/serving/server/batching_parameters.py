"""Batching parameters from the server's text file, `batching_params.pbtxt`, or defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from kerasft.export.layout import BATCHING
from kerasft.serving.server.status import invalid

_LEAST = {
    "max_batch_size": 1,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": 1,
    "num_batch_threads": 1,
}


@dataclass(frozen=True)
class BatchingParameters:
    """Batching parameters; the defaults are the server's."""

    max_batch_size: int = 1000  # examples; larger requests are refused
    batch_timeout_micros: int = 0  # of a batch's first request; busy threads extend it
    max_enqueued_batches: int = 10  # per signature
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    merges: bool = True  # whether requests are computed together


UNBATCHED = BatchingParameters(merges=False)


def load_batching_parameters(version: Path) -> BatchingParameters:
    """Reads a version's parameters; without a file, the defaults.

    Raises:
        ServingError: If the server would refuse the file.
    """
    path = version / BATCHING
    if not path.is_file():
        return BatchingParameters()
    try:
        text = path.read_text(encoding="utf-8")
        message = text_format.Parse(text, _message_class()(), allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise invalid(f"{path} cannot be read: {error}") from error
    given = {name: getattr(message, name).value for name in _LEAST if message.HasField(name)}
    for name, value in given.items():
        if value < _LEAST[name]:
            raise invalid(f"{name} must be at least {_LEAST[name]}, not {value}: {path}")
    parameters = BatchingParameters(**given)
    sizes = list(message.allowed_batch_sizes)  # nothing is padded here, but the server checks them
    if sizes and (sizes != sorted(set(sizes)) or sizes[-1] != parameters.max_batch_size):
        raise invalid(
            f"allowed_batch_sizes must ascend to max_batch_size, {parameters.max_batch_size}, not "
            f"{sizes}: {path}"
        )
    return parameters


def _message_class():
    """Builds the used fields of `BatchingParameters`, which tensorflow-serving-api lacks."""
    file = descriptor_pb2.FileDescriptorProto(name="batching.proto", package="batching")
    value = file.message_type.add(name="Value").field
    value.add(name="value", number=1, type=3, label=1)  # an optional int64
    fields = file.message_type.add(name="BatchingParameters").field
    for number, name in enumerate(_LEAST, start=1):
        fields.add(name=name, number=number, type=11, label=1, type_name=".batching.Value")
    fields.add(name="allowed_batch_sizes", number=6, type=3, label=3)  # repeated int64
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("batching.BatchingParameters")
    return message_factory.GetMessageClass(found)
