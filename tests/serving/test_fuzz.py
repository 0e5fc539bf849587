"""Mutated requests over both protocols: no 500, no traceback, bounded time and memory.

`make test` sends some hundred on each. For 20,000:

    KERASFT_FUZZ=20000 python -m pytest tests/serving/test_fuzz.py
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow_serving.apis import classification_pb2, predict_pb2

from kerasft.serving.server.http import rest

NUM_REQUESTS = int(os.environ.get("KERASFT_FUZZ", "400"))
MOST_SECONDS = 10  # of a request; the machine may be busy
MOST_MEGABYTES = 300  # above what the server holds at its start
FAULTS = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNAVAILABLE}


class Server:
    """Addresses of a server, and ways to send bytes to it."""

    def __init__(self, rest_address: str, grpc_address: str):
        host, port = rest_address.split(":")
        self.address = (host, int(port))
        self.channel = grpc.insecure_channel(grpc_address)

    def send_http(self, request: bytes, is_whole: bool = True) -> None:
        """Sends bytes; checks the answer. There may be none if they are no whole request."""
        start = time.monotonic()
        answer = b""
        with socket.create_connection(self.address, timeout=MOST_SECONDS) as connection:
            try:
                connection.sendall(request)
                connection.settimeout(MOST_SECONDS if is_whole else 0.05)
                answer = connection.recv(65536)
            except (TimeoutError, ConnectionError):
                pass  # it waits for more, or has hung up
        assert time.monotonic() - start < MOST_SECONDS
        status = re.match(rb"HTTP/1.1 (\d+) ", answer)
        assert int(status[1]) < 500 if status else not (answer or is_whole), answer

    def send_grpc(self, method: str, request: bytes) -> None:
        """Sends bytes to a method; checks the code of the answer."""
        call = self.channel.unary_unary(f"/tensorflow.serving.{method}")
        start = time.monotonic()
        try:
            call(request, timeout=2 * MOST_SECONDS)
        except grpc.RpcError as error:
            code = error.code()
        else:
            code = grpc.StatusCode.OK
        assert code not in FAULTS
        assert time.monotonic() - start < MOST_SECONDS


def memory_of(process_id: int, field: str) -> float:
    """Returns megabytes: `VmRSS` now, `VmHWM` at most (Linux)."""
    status = Path(f"/proc/{process_id}/status").read_text()
    return int(re.search(rf"{field}:\s+(\d+) kB", status)[1]) / 1e3


@pytest.fixture(scope="module")
def served(demo, export_tiny, tmp_path_factory, repository):
    """A server in a process of its own, checked at the end."""
    folder = tmp_path_factory.mktemp("fuzz") / "models"
    shutil.copytree(demo, folder)
    export_tiny(folder / "tiny")
    (folder / "tiny" / "1" / "assets.extra" / "tf_serving_warmup_requests").unlink()
    command = [sys.executable, "-m", "kerasft", "serve", str(folder), "--embedded"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--grpc-port", "0"],
        cwd=repository,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    reading = threading.Thread(target=lambda: lines.extend(process.stderr))
    try:
        while "Ctrl-C" not in "".join(lines):
            lines.append(process.stderr.readline())
            assert lines[-1], lines
        reading.start()
        server = Server(*re.search(r"REST http://(\S+), gRPC (\S+)\.", "".join(lines)).groups())
        server.send_http(http_request(b'{"instances": ["a"]}'))
        before = memory_of(process.pid, "VmRSS")
        yield server
        most = memory_of(process.pid, "VmHWM")
        server.channel.close()
    finally:
        process.terminate()
        process.wait(60)
        reading.join()
        process.stderr.close()
    told = "".join(lines)
    assert "rror" not in told, told  # also that of a traceback
    assert process.returncode == 143
    assert most - before < MOST_MEGABYTES


# --- what is sent

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # also halves of surrogate pairs
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63, 2**64, 10**400, 1e300, -1, 0])
LARGE = [
    ["a"] * 2000,
    [[0.5] * 2000],
    "a, " * 30_000,
    {str(number): number for number in range(2000)},
    {"b64": "Zm 91\ncg"},
    {"b64": "*"},
]
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT | st.sampled_from(LARGE),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXT | st.sampled_from(["text", "b64", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
IDS = {name: [[2, 3]] for name in ("token_ids", "segment_ids", "padding_mask")}
BODIES = [
    ("demo:predict", {"instances": ["a", "b"]}),
    ("demo:predict", {"inputs": {"text": ["a", "b"]}}),
    ("demo:predict", {"signature_name": "double", "instances": [[1, 2.5]]}),
    ("demo:predict", {"signature_name": "several", "instances": [{"text": "a", "number": 3}]}),
    ("demo:classify", {"signature_name": "classify", "examples": [{"text": ["a"]}]}),
    ("demo:regress", {"signature_name": "regress", "context": {}, "examples": [{"text": "a"}]}),
    ("tiny:predict", {"instances": ["a quiet film", {"b64": "Zm91cg=="}]}),
    ("tiny:predict", {"signature_name": "tokens", "inputs": IDS}),
    ("tiny:classify", {"signature_name": "classify", "examples": [{"text": "a"}]}),
]
PLACES = [*{place for place, _ in BODIES}, "demo", "demo/metadata", "demo/versions/1:predict", "x"]
HEADERS = [
    "Transfer-Encoding: chunked",
    "Content-Encoding: gzip",
    "Expect: 100-continue",
    "Connection: Upgrade\r\nUpgrade: websocket",
    "Connection: close",
    "Content-Length: 5",
    "X: \xff",
]
PARTS = [b"\r\n", b'"', b"{", b"[" * 2000, b"\\ud800", b"1e999", b"NaN", b"\xef\xbb\xbf"]


@st.composite
def mutated(draw, content: bytes):
    """Replaces some bytes by others, up to three times."""
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        end = at + draw(st.integers(0, 12))
        content = (
            content[:at] + draw(st.binary(max_size=6) | st.sampled_from(PARTS)) + content[end:]
        )
    return content


def replaced(draw, value):
    """Replaces one value somewhere in a value."""
    inner = draw(st.sampled_from([None, *value])) if isinstance(value, dict) else None
    if isinstance(value, dict) and inner is not None:
        return value | {inner: replaced(draw, value[inner])}
    if isinstance(value, list) and value and draw(st.booleans()):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], replaced(draw, value[at]), *value[at + 1 :]]
    return draw(VALUES)


def http_request(body, place="demo:predict", method="POST", headers=(), version="1.1") -> bytes:
    lines = [f"{method} /v1/models/{place} HTTP/{version}", "Host: x", *headers]
    if not any("chunked" in line or "Length" in line for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@st.composite
def http_requests(draw):
    """Returns bytes, and whether they are a whole request."""
    place, body = draw(st.sampled_from(BODIES))
    for _ in range(draw(st.integers(0, 2))):
        body = replaced(draw, body)
    content = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    kind = draw(st.sampled_from(["value", "value", "body", "head", "all"]))
    if kind in ("body", "all"):
        content = draw(mutated(content))
    if kind == "value":
        return http_request(content, place), True
    headers = draw(st.lists(st.sampled_from(HEADERS), max_size=2, unique=True))
    if HEADERS[1] in headers and draw(st.booleans()):
        content = gzip.compress(content, mtime=0)
    if HEADERS[0] in headers and draw(st.booleans()):
        content = b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)
    method = draw(st.sampled_from(["POST", "POST", "GET", "PUT", "HEAD"]))
    version = draw(st.sampled_from(["1.1", "1.1", "1.0", "2.0"]))
    place = draw(st.just(place) | st.sampled_from(PLACES))
    request = http_request(content, place, method, headers, version)
    return draw(mutated(request)) if kind == "all" else request, False


@st.composite
def grpc_requests(draw):
    """Returns the name of a method and bytes for it."""
    method = draw(
        st.sampled_from(["Predict", "Predict", "Classify", "Regress", "GetModelMetadata"])
    )
    name = draw(st.sampled_from(["demo", "tiny", "x"]))
    signature = draw(st.sampled_from(["", "double", "several", "classify", "regress", "tokens"]))
    if method == "Predict":
        request = predict_pb2.PredictRequest()
        names = ["text", "x", "number", *IDS]
        for alias in draw(st.lists(st.sampled_from(names), max_size=4, unique=True)):
            request.inputs[alias].CopyFrom(draw(tensors()))
    else:
        request = classification_pb2.ClassificationRequest()
        for value in draw(st.lists(st.binary(max_size=4), max_size=3)):
            example = request.input.example_list.examples.add()
            feature = example.features.feature[draw(st.sampled_from(["text", "y"]))]
            feature.bytes_list.value.append(value)
    request.model_spec.name, request.model_spec.signature_name = name, signature
    content = request.SerializeToString()
    if draw(st.booleans()):
        content = draw(mutated(content))
    if draw(st.integers(0, 9)) == 0:
        return "ModelService/GetModelStatus", content
    return f"PredictionService/{method}", content


@st.composite
def tensors(draw):
    """Returns a tensor, often one whose parts do not fit together."""
    value = draw(
        st.sampled_from([["a", "b"], [1.5, 2.0], [[1.0, 2.0]], [3], [[2, 3]], [True], "a"])
    )
    proto = tf.make_tensor_proto(value)
    if draw(st.booleans()):
        proto.dtype = draw(st.integers(0, 30) | st.sampled_from([1, 7, 9]))
    sizes = st.sampled_from([-1, 0, 1, 2, 64, 65, 10**6, 2**40, 2**62])
    if draw(st.booleans()):
        del proto.tensor_shape.dim[:]
        for size in draw(st.lists(sizes, max_size=3) | st.just([1] * 300)):
            proto.tensor_shape.dim.add(size=size)
    if draw(st.booleans()):
        proto.string_val.extend([b""] * draw(st.sampled_from([1, 5000])))
    if draw(st.booleans()):
        proto.tensor_content = draw(st.binary(max_size=9))
    return proto


def fuzz(strategy, send, num_requests=NUM_REQUESTS):
    """Sends requests until one shows a fault of the server."""

    @settings(
        max_examples=num_requests,
        deadline=None,
        database=None,
        derandomize="KERASFT_FUZZ" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(request):
        send(*request)

    run()


def test_http(served):
    fuzz(http_requests(), served.send_http)


def test_grpc(served):
    fuzz(grpc_requests(), served.send_grpc)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_control_a_broken_handler_is_found(serving, demo, monkeypatch, protocol):
    def broken(*_, **__):
        raise KeyError("a bug")

    monkeypatch.setattr(rest, "read_tensors", broken)
    monkeypatch.setattr("kerasft.serving.server.grpc_services.request_call", broken)
    with serving(demo) as found:
        server = Server(found.rest, found.grpc_address)
        strategy = {"http": http_requests(), "grpc": grpc_requests()}[protocol]
        with pytest.raises(AssertionError, match=r"500|INTERNAL"):
            fuzz(strategy, getattr(server, f"send_{protocol}"), 100)
        assert any("KeyError: 'a bug'" in line for line in found.lines)
        found.lines.clear()
        server.channel.close()
