"""TensorFlow Serving's REST client, without TensorFlow."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import urllib3
from urllib3 import exceptions

from kerasft.client.address import Address
from kerasft.client.failures import CallError, Why
from kerasft.client.signature import CLASSIFY
from kerasft.errors import first_line
from kerasft.export.layout import SIGNATURE

_LONGEST_CONNECT_SECONDS = 5.0
_CHUNK_BYTES = 1 << 16
_STATUS = {
    400: Why.REFUSED,
    401: Why.NOT_ALLOWED,
    403: Why.NOT_ALLOWED,
    404: Why.NOT_FOUND,
    408: Why.TIMED_OUT,
    413: Why.TOO_LARGE,
    429: Why.BUSY,
    499: Why.CUT_OFF,  # CANCELLED, in TensorFlow Serving's table
    502: Why.BUSY,
    503: Why.BUSY,
    504: Why.TIMED_OUT,
}
_BEHIND_A_PROXY = (401, 403, 413, 429, 502, 503, 504)  # may come from a proxy, not the server


class RestConnection:
    """Calls TensorFlow Serving's REST over kept-alive connections; thread-safe."""

    def __init__(
        self,
        address: Address,
        headers: Mapping[str, str],
        context: ssl.SSLContext | None,
        size: int,
    ):
        self._address = address
        tls = {} if context is None else {"ssl_context": context}
        self._manager = urllib3.PoolManager(maxsize=size, headers=dict(headers), **tls)

    def signatures(self, timeout: float) -> dict[str, Any]:
        """Returns the model's signatures by name, as in JSON."""
        answer = self._ask("GET", f"{self._address.version_path}/metadata", None, timeout)
        with _reading("metadata"):
            return dict(answer["metadata"]["signature_def"]["signature_def"])

    def predict(self, columns: Mapping[str, Sequence[str]], timeout: float) -> dict[str, Any]:
        """Returns the outputs of the text signature by name, as nested lists."""
        inputs = {name: [_text(text) for text in texts] for name, texts in columns.items()}
        body = {"signature_name": SIGNATURE, "inputs": inputs}
        answer = self._ask("POST", f"{self._address.version_path}:predict", body, timeout)
        with _reading("outputs"):
            return dict(answer["outputs"])

    def classify(self, example: Mapping[str, str], timeout: float) -> tuple[str, ...]:
        """Returns the labels of one example, in the signature's order."""
        texts = {name: _text(text) for name, text in example.items()}
        body = {"signature_name": CLASSIFY, "examples": [texts]}
        answer = self._ask("POST", f"{self._address.version_path}:classify", body, timeout)
        with _reading("results"):
            (row,) = answer["results"]
            return tuple(str(label) for label, _ in row)

    def states(self, timeout: float) -> list[tuple[int, str, str]]:
        """Returns number, state and error message of each version that the server knows."""
        answer = self._ask("GET", self._address.path, None, timeout)
        with _reading("model_version_status"):
            return [
                (int(found["version"]), found["state"], found["status"].get("error_message", ""))
                for found in answer["model_version_status"]
            ]

    def close(self) -> None:
        """Closes the connections."""
        self._manager.clear()

    def _ask(self, method: str, path: str, body: Any, timeout: float) -> dict[str, Any]:
        """Sends a request once; raises `CallError` without a usable response."""
        url = f"{self._address.scheme}://{self._address.server}{path}"
        end = time.monotonic() + timeout
        with _telling():
            response = self._manager.request(
                method,
                url,
                body=None if body is None else json.dumps(body, ensure_ascii=False).encode(),
                headers=self._manager.headers | {"content-type": "application/json"},
                timeout=urllib3.Timeout(
                    connect=min(timeout, _LONGEST_CONNECT_SECONDS), read=timeout
                ),
                retries=False,
                redirect=False,  # the headers are for this server alone
                preload_content=False,
            )
            content = _read(response, end)
        return _parse(response, content)


def _text(text: str) -> str | dict[str, str]:
    """Returns a text as JSON; with a lone surrogate, which JSON cannot encode, as its bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        encoded = text.encode("utf-8", "surrogatepass")
        return {"b64": base64.b64encode(encoded).decode()}
    return text


def _read(response: urllib3.BaseHTTPResponse, end: float) -> bytes:
    """Reads a response within the deadline, even if it arrives slowly."""
    pieces = []
    try:
        while piece := response.read1(_CHUNK_BYTES):
            pieces.append(piece)
            if time.monotonic() > end:
                raise CallError(Why.TIMED_OUT, "its answer came too slowly")
    except BaseException:
        response.close()
        raise
    response.release_conn()
    return b"".join(pieces)


def _parse(response: urllib3.BaseHTTPResponse, content: bytes) -> dict[str, Any]:
    status = response.status
    if 300 <= status < 400:
        raise CallError(Why.REDIRECTED, f"to {response.headers.get('location', 'nowhere')}")
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if status == 200 and isinstance(answer, dict):
        return answer
    if isinstance(answer, dict) and "error" in answer:
        detail = str(answer["error"])
    elif status in _BEHIND_A_PROXY or status >= 500:
        detail = f"status {status}"
    else:
        begin = content[:60].decode("utf-8", "replace")
        raise CallError(Why.ANOTHER_SERVICE, f"status {status} with {begin!r}")
    wait = response.headers.get("retry-after", "")
    raise CallError(
        _STATUS.get(status, Why.SERVER_ERROR if status >= 500 else Why.REFUSED),
        detail,
        float(wait) if wait.isdecimal() and wait.isascii() else None,
    )


@contextlib.contextmanager
def _reading(what: str) -> Iterator[None]:
    """Turns an unexpected response structure into a `CallError`."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CallError(Why.ANOTHER_SERVICE, f"an answer without {what} as expected") from error


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """Turns urllib3's exceptions into a `CallError`."""
    try:
        yield
    except exceptions.SSLError as error:
        raise CallError(Why.TLS, first_line(error)) from error
    except exceptions.NameResolutionError as error:
        raise CallError(Why.UNKNOWN_HOST, _after_colon(error)) from error
    except exceptions.NewConnectionError as error:  # a kind of timeout in urllib3
        raise CallError(Why.UNREACHABLE, _after_colon(error)) from error
    except exceptions.ConnectTimeoutError as error:
        raise CallError(Why.UNREACHABLE, "no connection within the time") from error
    except exceptions.TimeoutError as error:
        raise CallError(Why.TIMED_OUT, "it has had all of the time") from error
    except exceptions.ProtocolError as error:
        if "BadStatusLine" in repr(error) or "InvalidChunkLength" in repr(error):
            raise CallError(Why.ANOTHER_SERVICE, "what it says is no HTTP") from error
        cause = error.args[-1]  # which urllib3 shows as its `repr`
        shown = cause if isinstance(cause, Exception) else error
        raise CallError(Why.CUT_OFF, first_line(shown)) from error
    except exceptions.HTTPError as error:
        raise CallError(Why.CUT_OFF, first_line(error)) from error


def _after_colon(error: Exception) -> str:
    """Returns an error's message without the connection object at its start."""
    return first_line(error).rpartition(": ")[2]
