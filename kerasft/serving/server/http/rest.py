"""TensorFlow Serving's REST API, as a plain ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import re
import traceback
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from tensorflow_serving.apis import model_pb2

from kerasft.serving.server.answering import SIGNATURE_DEF, beside_if_large, build_metadata, compute
from kerasft.serving.server.calls import (
    DEFAULT_SIGNATURE,
    classification_result,
    classify_call,
    predict_call,
    regress_call,
    regression_result,
)
from kerasft.serving.server.http.json_answers import (
    classify_body,
    error_body,
    metadata_body,
    predict_body,
    regress_body,
    status_body,
)
from kerasft.serving.server.http.json_requests import read_examples, read_tensors, signature_name_of
from kerasft.serving.server.http.json_text import parse_object
from kerasft.serving.server.limits import Limits
from kerasft.serving.server.models import Models
from kerasft.serving.server.status import ServingError, invalid

# The server's regular expressions (http_rest_api_util.cc); they match the whole path.
_MODEL = r"/v1/models(?:/([^/:]+))?(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_PREDICTION = re.compile(
    r"/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?:(classify|regress|predict)",
    re.IGNORECASE,
)
_STATUS = re.compile(rf"{_MODEL}(?:/(metadata))?", re.IGNORECASE)
_API = re.compile(r"/v1/.*", re.IGNORECASE)
_MOST_VERSION = 2**63 - 1
_MOST_DIGITS = 4000  # below Python's limit for reading integers
_DISCARD_SECONDS = 5


class ClientGoneError(Exception):
    """The client has disconnected."""


class RestApp:
    """The ASGI application; it logs the traceback of a bug."""

    def __init__(self, models: Models, limits: Limits, log: Callable[[str], None]):
        self._models = models
        self._limits = limits
        self._log = log
        self._bytes = 0  # of all bodies in memory

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        """Handles one request."""
        body = bytearray()
        try:
            try:
                await self._read(scope, receive, body)
                async with _unless_gone(receive):
                    content = await self._answer(scope, bytes(body))
                status = 200
            except ServingError as error:
                status, content = error.http_status, error_body(error.message)
            except ClientGoneError:
                return
            except Exception:
                self._log(traceback.format_exc())
                status, content = 500, error_body("Internal error.")
        finally:
            self._bytes -= len(body)
        # The rest of an unread body would be parsed as the next request.
        close = [(b"connection", b"close")] if status in (408, 413) else []
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            *close,
        ]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    async def _read(self, scope: dict[str, Any], receive: Callable, body: bytearray) -> None:
        """Reads a request's body; `ServingError` if it is too large or slow, or the server is full.

        Raises `ClientGoneError` if the client disconnects.
        """
        headers = dict(scope["headers"])
        most = self._limits.body_bytes
        too_large = ServingError(
            "INVALID_ARGUMENT", f"The body is larger than {most} bytes.", http_status=413
        )
        more = True
        if int(headers.get(b"content-length", 0)) > most:
            await _discard(receive)
            raise too_large
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    body += chunk
                    self._bytes += len(chunk)
                    if len(body) > most:
                        break
                    if self._bytes > self._limits.all_bodies_bytes:
                        raise ServingError("UNAVAILABLE", "Too many requests are in work.")
        except TimeoutError as error:
            raise ServingError(
                "DEADLINE_EXCEEDED",
                f"The body did not come in {self._limits.body_seconds:g} seconds.",
                http_status=408,
            ) from error
        if len(body) > most:
            if more:
                await _discard(receive)
            raise too_large
        if headers.get(b"content-encoding", b"").lower() == b"gzip":
            unpacked = await asyncio.to_thread(_unpack, bytes(body), most)
            self._bytes += len(unpacked) - len(body)
            body[:] = unpacked

    async def _answer(self, scope: dict[str, Any], body: bytes) -> bytes:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        if not _API.fullmatch(path):
            raise ServingError("NOT_FOUND", "Not Found")
        if method == "POST" and (found := _PREDICTION.fullmatch(path)):
            name, version, label, verb = found.groups()
            return await self._infer(_model_spec(name, version, label), verb.lower(), body)
        if method == "GET" and (found := _STATUS.fullmatch(path)):
            name, version, label, metadata = found.groups()
            spec = _model_spec(name or "", version, label)
            if not name:
                raise invalid("Missing model name in request.")
            if metadata:
                return metadata_body(build_metadata(self._models, spec, [SIGNATURE_DEF]))
            return status_body(self._models.status(spec))
        raise invalid(f"Malformed request: {method} {path}")

    async def _infer(self, spec: model_pb2.ModelSpec, verb: str, body: bytes) -> bytes:
        if verb == "predict":
            return await self._predict(spec, body)
        parsed, examples = await beside_if_large(len(body), lambda: _parse_examples(body))
        servable = self._models.find(spec)
        build = classify_call if verb == "classify" else regress_call
        call = build(servable, signature_name_of(parsed), examples)
        outputs = await compute(servable, call, self._limits.seconds)
        if verb == "classify":
            return classify_body(classification_result(call, outputs))
        return regress_body(regression_result(call, outputs))

    async def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        parsed = await beside_if_large(len(body), lambda: parse_object(body))
        signature_name = signature_name_of(parsed)
        servable = self._models.find(spec)
        name = signature_name or DEFAULT_SIGNATURE
        signature = servable.find_signature(name)
        if signature is None:
            raise invalid(f'Serving signature name: "{name}" not found in signature def')
        if not signature.inputs:
            raise invalid(f"Failed to get input map for signature: {signature_name or 'DEFAULT'}")
        inputs, in_rows = await beside_if_large(
            len(body), lambda: _guard_depth(lambda: read_tensors(parsed, signature.inputs))
        )
        call = predict_call(servable, name, inputs)
        outputs = await compute(servable, call, self._limits.seconds)
        size = sum(array.nbytes for array in outputs.values())
        return await beside_if_large(8 * size, lambda: predict_body(outputs, in_rows=in_rows))


def _parse_examples(body: bytes):
    parsed = parse_object(body)
    return parsed, read_examples(parsed)


def _guard_depth(work: Callable):
    try:
        return work()
    except RecursionError as error:
        raise invalid("JSON Parse error: The document is nested too deeply.") from error


def _model_spec(name: str, version: str | None, label: str | None) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=_unquote(name))
    if version is not None:
        if len(version) > _MOST_DIGITS or int(version) > _MOST_VERSION:
            raise invalid(f"Failed to convert version: {version} to numeric.")
        spec.version.value = int(version)
    if label is not None:
        spec.version_label = _unquote(label)
    return spec


def _unquote(text: str) -> str:
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "replace")


def _unpack(body: bytes, most: int) -> bytes:
    """Decompresses gzip, up to `most` bytes."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, most)
    except zlib.error as error:
        raise invalid("The body is not gzip, as its Content-Encoding says.") from error
    if unpacker.unconsumed_tail:
        raise ServingError(
            "INVALID_ARGUMENT", f"The body is larger than {most} bytes.", http_status=413
        )
    if not unpacker.eof:
        raise invalid("The body is not gzip, as its Content-Encoding says.")
    return unpacked


async def _discard(receive: Callable) -> None:
    """Keeps reading a refused body for a while: a client still sending would miss the response."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while (await receive()).get("more_body"):
                pass


@contextlib.asynccontextmanager
async def _unless_gone(receive: Callable) -> AsyncIterator[None]:
    """Cancels its block and raises `ClientGoneError` if the client disconnects."""
    working = asyncio.current_task()
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        working.cancel()

    watching = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        working.uncancel()
        raise ClientGoneError from None
    finally:
        watching.cancel()
