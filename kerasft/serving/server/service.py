"""Answers the requests of both protocols: finds the model, builds the inputs, computes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from kerasft.serving.server.calls import Call
from kerasft.serving.server.gate import Gate
from kerasft.serving.server.models import Models
from kerasft.serving.server.servable import Servable
from kerasft.serving.server.settings import Settings
from kerasft.serving.server.status import ServingError, invalid

SIGNATURE_DEF = "signature_def"
_LARGE = 1 << 16  # bytes of a body; larger ones are read or written in a thread

T = TypeVar("T")


class Service:
    """What REST and gRPC have in common. Each request enters the `gate`."""

    def __init__(self, models: Models, settings: Settings, log: Callable[[str], None]):
        self.models = models
        self.settings = settings
        self.gate = Gate()
        self._log = log
        # One thread: large bodies take much memory while they are read.
        self._reading = ThreadPoolExecutor(1, "read")

    def close(self) -> None:
        """Stops the thread."""
        self._reading.shutdown(wait=False, cancel_futures=True)

    def describe(self, error: Exception) -> ServingError:
        """Returns what a caller is told about an error; logs the traceback of a bug."""
        if isinstance(error, ServingError):
            return error.with_traceback(None)  # whose frames hold the request
        self._log("".join(traceback.format_exception(error)))
        return ServingError("INTERNAL", "Internal error.")

    async def within(self, seconds: float, answer: Awaitable[T]) -> T:
        """Awaits a response; raises `ServingError` if it takes over `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            message = f"The request was not answered in {seconds:g} seconds."
            raise ServingError("DEADLINE_EXCEEDED", message) from error

    async def beside_if_large(self, size: int, work: Callable[[], T]) -> T:
        """Runs `work`, in a thread if about `size` bytes would delay other requests."""
        if size <= _LARGE:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._reading, work)

    async def predict(
        self, size: int, build: Callable[[], tuple[Servable, Call]]
    ) -> tuple[model_pb2.ModelSpec, Call, dict[str, np.ndarray]]:
        """Answers a request of `size` bytes, which `build` parses and checks.

        Returns the model that answered, the call, and its outputs by name.
        """
        servable, call = await self.beside_if_large(size, build)
        outputs = await servable.batcher.compute(call.signature_name, call.inputs)
        found = model_pb2.ModelSpec(name=servable.name, signature_name=call.signature_name)
        found.version.value = servable.version
        return found, call, {alias: outputs[alias] for alias in call.outputs}

    def metadata(
        self, spec: model_pb2.ModelSpec, fields: Sequence[str]
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Returns a model's signatures; raises `ServingError` for any other field."""
        if set(fields) != {SIGNATURE_DEF}:
            raise invalid(f"The only metadata_field is {SIGNATURE_DEF}, not {list(fields)}.")
        servable = self.models.find(spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in servable.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.metadata[SIGNATURE_DEF].Pack(signatures)
        return response
