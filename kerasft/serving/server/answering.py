"""Shared by REST and gRPC: time limits, metadata, offloading of long work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from kerasft.serving.server.calls import DEFAULT_SIGNATURE, Call
from kerasft.serving.server.models import Models
from kerasft.serving.server.servable import Servable
from kerasft.serving.server.status import ServingError, invalid

SIGNATURE_DEF = "signature_def"
_LARGE = 1 << 16  # bytes of a body; larger ones are read or written in a thread

T = TypeVar("T")


async def compute(servable: Servable, call: Call, seconds: float) -> dict[str, np.ndarray]:
    """Returns the outputs of a call; raises `ServingError` if it fails or takes over `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            outputs = await servable.batcher.compute(call.signature_name, call.inputs)
    except TimeoutError as error:
        raise ServingError(
            "DEADLINE_EXCEEDED", "Run() timeout exceeded while waiting in batching queue"
        ) from error
    return {alias: outputs[alias] for alias in call.outputs}


async def beside_if_large(size: int, work: Callable[[], T]) -> T:
    """Runs `work`, in a thread if about `size` bytes would delay other requests."""
    return await asyncio.to_thread(work) if size > _LARGE else work()


def answered_by(servable: Servable, signature_name: str) -> model_pb2.ModelSpec:
    """Returns the model spec that responses name."""
    spec = model_pb2.ModelSpec(
        name=servable.name, signature_name=signature_name or DEFAULT_SIGNATURE
    )
    spec.version.value = servable.version
    return spec


def build_metadata(
    models: Models, spec: model_pb2.ModelSpec, fields: Sequence[str]
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns a model's signatures; raises `ServingError` for any other field."""
    if not fields:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in fields:
        if field != SIGNATURE_DEF:
            raise invalid(f"Metadata field {field} is not supported")
    servable = models.find(spec)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    response.model_spec.name = servable.name
    response.model_spec.version.value = servable.version
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in servable.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response
