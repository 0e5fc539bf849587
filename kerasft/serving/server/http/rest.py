"""TensorFlow Serving's REST API, as a plain ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from tensorflow_serving.apis import model_pb2

from kerasft.serving.server.calls import Call, check_outputs, examples_call, predict_call
from kerasft.serving.server.http.json_answers import (
    metadata_body,
    predict_body,
    results_body,
    to_body,
    to_dict,
)
from kerasft.serving.server.http.json_requests import (
    parse_object,
    read_examples,
    read_tensors,
    signature_name_of,
)
from kerasft.serving.server.servable import Servable
from kerasft.serving.server.service import SIGNATURE_DEF, Service
from kerasft.serving.server.status import ServingError, invalid

# The server's paths (http_rest_api_util.cc).
_PATH = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
    r"(?::(?P<verb>classify|regress|predict)|(?P<metadata>/metadata))?",
    re.IGNORECASE | re.ASCII,
)
_DISCARD_SECONDS = 5


class ClientGoneError(Exception):
    """The client has disconnected."""


class RestApp:
    """The ASGI application."""

    def __init__(self, service: Service):
        self._service = service
        self._settings = service.settings

    async def __call__(self, scope: dict[str, Any], receive: Callable, send: Callable) -> None:
        """Handles one request."""
        with self._service.gate as gate, contextlib.suppress(ClientGoneError):
            is_unclear = _has_two_lengths(scope)
            try:
                gate.check()
                if is_unclear:
                    raise invalid("The request has a Content-Length and a Transfer-Encoding.")
                body = await self._read(scope, receive)
                async with _unless_gone(receive):
                    answer = self._answer(scope, body)
                    content = await self._service.within(self._settings.seconds, answer)
                status = 200
            except ClientGoneError:
                raise
            except Exception as error:
                known = self._service.describe(error)
                status, content = known.http_status, to_body({"error": known.message})
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
            ]
            if gate.closing or is_unclear or status in (408, 413):
                headers.append((b"connection", b"close"))
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": content})

    async def _read(self, scope: dict[str, Any], receive: Callable) -> bytes:
        """Reads a request's body.

        Raises `ServingError` if it is too large or slow, `ClientGoneError` if the client leaves.
        """
        headers, body, more = dict(scope["headers"]), bytearray(), True
        most, seconds = self._settings.body_bytes, self._settings.body_seconds
        is_too_large = int(headers.get(b"content-length", 0)) > most
        try:
            async with asyncio.timeout(seconds):
                while more and not is_too_large:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGoneError
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    is_too_large = len(body) > most
        except TimeoutError as error:
            message = f"The body did not come in {seconds:g} seconds."
            raise ServingError("DEADLINE_EXCEEDED", message, http_status=408) from error
        if is_too_large:
            if more:
                await _discard(receive)
            raise _too_large(most)
        if headers.get(b"content-encoding", b"").lower() == b"gzip":
            return await asyncio.to_thread(_unpack, body, most)
        return bytes(body)

    async def _answer(self, scope: dict[str, Any], body: bytes) -> bytes:
        method, path = scope["method"], scope["raw_path"].decode("latin-1")
        if not path.lower().startswith("/v1/"):
            raise ServingError("NOT_FOUND", "Not Found")
        found = _PATH.fullmatch(path)
        verb = found and (found["verb"] or "").lower()
        if found is None or method != ("POST" if verb else "GET"):
            raise invalid(f"There is no {method} {path}.")
        spec = _model_spec(found)
        if verb == "predict":
            return await self._predict(spec, body)
        if verb:
            return await self._infer(spec, verb, body)
        if found["metadata"]:
            return metadata_body(self._service.metadata(spec, [SIGNATURE_DEF]))
        return to_body(to_dict(self._service.models.status(spec)))

    async def _infer(self, spec: model_pb2.ModelSpec, verb: str, body: bytes) -> bytes:
        def build() -> tuple[Servable, Call]:
            servable = self._service.models.find(spec)
            parsed = parse_object(body)
            examples = read_examples(parsed, servable.most_rows)
            return servable, examples_call(servable, verb, signature_name_of(parsed), examples)

        _, call, outputs = await self._service.predict(len(body), build)
        check_outputs(verb, call, outputs)
        return results_body(outputs)

    async def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        in_rows = False

        def build() -> tuple[Servable, Call]:
            nonlocal in_rows
            servable = self._service.models.find(spec)
            parsed = parse_object(body)
            in_rows = "instances" in parsed
            read = functools.partial(read_tensors, parsed, most_rows=servable.most_rows)
            return servable, predict_call(servable, signature_name_of(parsed), read)

        _, _, outputs = await self._service.predict(len(body), build)
        size = 8 * sum(array.nbytes for array in outputs.values())
        return await self._service.beside_if_large(
            size, lambda: predict_body(outputs, in_rows=in_rows)
        )


def _has_two_lengths(scope: dict[str, Any]) -> bool:
    """Whether it is unclear where a request ends, and what follows is another one (RFC 9112, 6.3).

    Two different values of Content-Length are refused by h11.
    """
    names = {name for name, _ in scope["headers"]}
    is_old = scope["http_version"] == "1.0"  # had no Transfer-Encoding
    return b"transfer-encoding" in names and (is_old or b"content-length" in names)


def _model_spec(found: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=_unquote(found["name"]))
    if found["version"]:
        try:
            spec.version.value = int(found["version"])
        except ValueError as error:  # above an int64, or more digits than Python reads
            raise invalid("A version is at most 2**63 - 1.") from error
    if found["label"]:
        spec.version_label = _unquote(found["label"])
    return spec


def _unquote(text: str) -> str:
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "replace")


def _too_large(most: int) -> ServingError:
    message = f"The body is larger than {most} bytes."
    return ServingError("INVALID_ARGUMENT", message, http_status=413)


def _unpack(body: bytearray, most: int) -> bytes:
    """Decompresses gzip, up to `most` bytes."""
    unpacker = zlib.decompressobj(wbits=31)
    with contextlib.suppress(zlib.error):
        unpacked = unpacker.decompress(body, most)
        if unpacker.unconsumed_tail:
            raise _too_large(most)
        if unpacker.eof:
            return unpacked
    raise invalid("The body is not gzip, as its Content-Encoding says.")


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
