"""Batching parameters from the server's text file, `batching_params.pbtxt`, or defaults."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from kerasft.export.layout import BATCHING
from kerasft.serving.server.status import ServingError, invalid

_WRAPPED = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")


@dataclass(frozen=True)
class BatchingParameters:
    """Batching parameters; the defaults are the server's."""

    max_batch_size: int = 1000  # examples; larger requests are refused
    batch_timeout_micros: int = 0  # of a batch's first request; busy threads extend it
    max_enqueued_batches: int = 10  # per signature
    num_batch_threads: int = field(default_factory=lambda: os.cpu_count() or 1)
    allowed_batch_sizes: tuple[int, ...] = ()  # only checked: nothing is padded here
    merges: bool = True  # whether requests are batched at all


# Without batching every request is a batch of its own, whatever its size.
UNBATCHED = BatchingParameters(max_batch_size=1, max_enqueued_batches=1000, merges=False)


def load_batching_parameters(version: Path) -> BatchingParameters:
    """Reads a version's parameters; without a file, the defaults."""
    path = version / BATCHING
    if not path.is_file():
        return BatchingParameters()
    try:
        message = text_format.Parse(
            path.read_text(encoding="utf-8"), _message_class()(), allow_unknown_field=True
        )
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid protobuf file: '{path}': {error}") from error
    given = {name: getattr(message, name).value for name in _WRAPPED if message.HasField(name)}
    parameters = BatchingParameters(**given, allowed_batch_sizes=tuple(message.allowed_batch_sizes))
    _check(parameters, path)
    return parameters


def _check(parameters: BatchingParameters, path: Path) -> None:
    for name in _WRAPPED:
        least = 0 if name == "batch_timeout_micros" else 1
        if getattr(parameters, name) < least:
            raise invalid(
                f"{name} must be at least {least}; was {getattr(parameters, name)}: {path}"
            )
    sizes = parameters.allowed_batch_sizes
    if sizes and sizes[-1] != parameters.max_batch_size:
        raise invalid(
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
            f"{sizes[-1]}; expected {parameters.max_batch_size}"
        )
    if list(sizes) != sorted(set(sizes)):
        raise invalid("allowed_batch_sizes entries must be monotonically increasing")


def _message_class():
    """Builds the used fields of `BatchingParameters`, which tensorflow-serving-api lacks."""
    pool = descriptor_pool.DescriptorPool()
    wrapper = descriptor_pb2.FileDescriptorProto(name="wrapper.proto", package="batching")
    value = wrapper.message_type.add(name="Value").field
    value.add(name="value", number=1, type=3, label=1)  # an optional int64
    file = descriptor_pb2.FileDescriptorProto(
        name="batching.proto", package="batching", dependency=["wrapper.proto"]
    )
    fields = file.message_type.add(name="BatchingParameters").field
    for number, name in enumerate(_WRAPPED, start=1):
        fields.add(name=name, number=number, type=11, label=1, type_name=".batching.Value")
    fields.add(name="allowed_batch_sizes", number=6, type=3, label=3)  # repeated int64
    for found in (wrapper, file):
        pool.Add(found)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("batching.BatchingParameters")
    )


def check_size(parameters: BatchingParameters, size: int) -> None:
    """Refuses a request with more examples than a batch may hold."""
    if parameters.merges and size > parameters.max_batch_size:
        raise ServingError(
            "INVALID_ARGUMENT",
            f"Task size {size} is larger than maximum input batch size {parameters.max_batch_size}",
        )
