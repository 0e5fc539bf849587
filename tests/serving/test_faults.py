"""Callers who are slow, who leave, who ask for too much, who are many."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from kerasft.serving.server.http import rest

BODY = {"instances": ["four"]}
ONE_AT_A_TIME = """
max_batch_size { value: 1 } num_batch_threads { value: 1 } max_enqueued_batches { value: 1 }
"""


CHUNKED = "/v1/models/demo:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def slow(seconds):
    return {"signature_name": "slow", "instances": [seconds]}


def predict_request(signature_name="", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "demo", signature_name
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def head(length):
    target = "/v1/models/demo:predict"
    return f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode()


def connect(server):
    host, port = server.rest.split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def read_all(connection):
    found = b""
    while chunk := connection.recv(65536):
        found += chunk
    return found


@pytest.fixture(scope="module")
def strict(serving, demo):
    """A server that gives little time and room."""
    limits = {"body_bytes": 20_000, "body_seconds": 0.5, "head_seconds": 0.5, "seconds": 1.0}
    with serving(demo, **limits) as server:
        yield server


def test_two_hundred_connections_at_a_time(contract):
    gate = threading.Barrier(200)

    def ask(number):
        gate.wait(60)
        return contract.post("demo:predict", {"instances": ["x" * number]})

    with ThreadPoolExecutor(200) as pool:
        for number, (status, answer) in enumerate(pool.map(ask, range(200))):
            assert (status, answer["predictions"][0]["length"]) == (200, number)  # each its own


def test_a_body_that_is_too_large_is_refused(strict):
    fits, too_large = ({"instances": ["x" * size]} for size in (19_000, 20_001))
    assert strict.post("demo:predict", fits)[0] == 200
    expected = (413, {"error": "The body is larger than 20000 bytes."})
    assert strict.post("demo:predict", too_large) == expected
    huge = {"instances": ["x" * 5_000_000]}  # more than a connection buffers
    assert strict.post("demo:predict", huge) == expected
    packed = gzip.compress(json.dumps(too_large).encode())  # far smaller, and as large inside
    headers = {"Content-Encoding": "gzip"}
    assert strict.post("demo:predict", packed, headers=headers) == expected
    for damaged in (b"no gzip", gzip.compress(json.dumps(BODY).encode())[:-9]):
        assert strict.post("demo:predict", damaged, headers=headers)[0] == 400
    with connect(strict) as connection:  # chunks, of which nobody says how many will come
        connection.sendall(f"POST {CHUNKED}".encode())
        connection.sendall((b"1000\r\n" + b"x" * 4096 + b"\r\n") * 6 + b"0\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 413")
    with pytest.raises(grpc.RpcError) as error:
        strict.prediction.Predict(predict_request(text=["x" * 20_001]))
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert strict.post("demo:predict", BODY)[0] == 200


@pytest.mark.parametrize(
    ("version", "lengths"),
    [
        ("1.1", "Content-Length: 25\r\nTransfer-Encoding: chunked"),
        ("1.1", "Transfer-Encoding: chunked\r\nContent-Length: 0"),
        ("1.1", "Content-Length: 25\r\nContent-Length: 26"),
        ("1.1", "Content-Length: 25, 26"),
        ("1.1", "Content-Length: +25"),
        ("1.1", "Transfer-Encoding: chunked, identity"),
        ("1.0", "Transfer-Encoding: chunked"),
    ],
)
def test_a_request_of_unclear_length_is_refused_and_hung_up_on(contract, version, lengths):
    """RFC 9112, 6.3: a proxy before the server may see its end elsewhere (request smuggling)."""
    first = f"POST /v1/models/demo:predict HTTP/{version}\r\nHost: x\r\n{lengths}\r\n\r\n"
    body = b'{"instances": ["four"]}  '
    with connect(contract) as connection:
        connection.sendall(first.encode() + b"19\r\n" + body + b"\r\n0\r\n\r\n" + head(25) + body)
        answer = read_all(connection)  # ends, as the connection is closed
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_request_of_one_length_is_answered(contract):
    """The control of the test above: chunks alone, and the same length twice."""
    body = b'{"instances": ["four"]}  '
    chunked = f"POST {CHUNKED}".encode()
    twice = head(25).replace(
        b"\r\nContent", b"\r\nContent-Length: 25\r\nConnection: close\r\nContent"
    )
    with connect(contract) as connection:
        connection.sendall(chunked + b"19\r\n" + body + b"\r\n0\r\n\r\n" + twice + body)
        assert read_all(connection).count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize("method", ["POST", "HEAD"])
@pytest.mark.parametrize("begin", [b"5\r\n12345\r\n", b"0\r\n\r\n"], ids=["within", "after"])
def test_faulty_bytes_in_a_request_or_after_it_end_the_connection(contract, caplog, method, begin):
    with connect(contract) as connection:
        connection.sendall(f"{method} {CHUNKED}".encode() + begin + b"\x00 no HTTP\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400")
    assert caplog.text == ""  # a traceback of uvicorn's would be here


def test_a_slow_body_is_not_waited_for(strict):
    with connect(strict) as connection:
        connection.sendall(head(100) + b'{"inst')
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert json.loads(answer.partition(b"\r\n\r\n")[2]) == {
        "error": "The body did not come in 0.5 seconds."
    }


@pytest.mark.parametrize("before", [b"", json.dumps(BODY).encode()], ids=["first", "second"])
def test_a_slow_head_is_hung_up_on(strict, before):
    with connect(strict) as connection:
        if before:  # a whole request first, on the same connection
            connection.sendall(head(len(before)) + before)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"POST /v1/models")
        start = time.monotonic()
        for _ in range(4):  # a byte now and then is no excuse
            time.sleep(0.1)
            connection.sendall(b"x")
        rest = read_all(connection)
        assert time.monotonic() - start < 5
    assert b"200" not in rest


def test_slow_callers_do_not_keep_others_waiting_nor_harm_them_when_they_leave(contract):
    connections = [connect(contract) for _ in range(50)]
    for connection in connections:
        connection.sendall(head(1000) + b'{"instances"')
    assert contract.post("demo:predict", BODY)[0] == 200
    for connection in connections:
        connection.close()
    assert contract.post("demo:predict", BODY)[0] == 200


def test_an_answer_that_takes_too_long_is_given_up(strict):
    status, answer = strict.post("demo:predict", slow(2.0))
    assert (status, answer["error"]) == (504, "The request was not answered in 1 seconds.")
    assert strict.post("demo:predict", slow(0.01))[0] == 200


@pytest.fixture
def narrow(serving, own_demo):
    """A server that computes one request at a time and lets one wait."""
    (own_demo / "demo" / "1" / "batching_params.pbtxt").write_text(ONE_AT_A_TIME)
    with serving(own_demo) as server:
        yield server


@pytest.fixture
def batcher(narrow):
    return narrow.embedded._models._models["demo"].serving.batcher


def test_a_full_queue_refuses_and_who_leaves_makes_room(narrow, batcher):
    queues = batcher._queues
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(narrow.post, "demo:predict", slow(1.0))
        narrow.wait_for(lambda: batcher._running)
        body = json.dumps(slow(30.0)).encode()
        with connect(narrow) as waiting:
            waiting.sendall(head(len(body)) + body)
            narrow.wait_for(lambda: queues)
            status, answer = narrow.post("demo:predict", slow(0.0))
            assert status == 503
            assert answer["error"] == "Too many requests wait for this model."
            with pytest.raises(grpc.RpcError) as error:
                narrow.prediction.Predict(predict_request("slow", seconds=[0.0]))
            assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        # Whoever waited has hung up: its 30 seconds are never computed.
        (queue,) = queues.values()
        narrow.wait_for(lambda: queue[0].answer.done())
        start = time.monotonic()
        assert narrow.post("demo:predict", slow(0.0))[0] == 200
        assert time.monotonic() - start < 10
        assert first.result()[0] == 200


def test_a_grpc_client_that_leaves_is_forgotten(narrow, batcher):
    request = predict_request("slow", seconds=[0.5])
    running = narrow.prediction.Predict.future(request)
    narrow.wait_for(lambda: batcher._running)
    waiting = narrow.prediction.Predict.future(request)
    narrow.wait_for(lambda: batcher._queues)
    (queue,) = batcher._queues.values()
    (task,) = queue
    waiting.cancel()
    narrow.wait_for(task.answer.cancelled)
    assert running.result().outputs["waited"].float_val[0] >= 0.5


def test_an_answer_that_nobody_reads_is_given_up(strict, monkeypatch):
    size = 8_000_000  # more than a connection buffers
    monkeypatch.setattr(rest, "predict_body", lambda *_, **__: b"x" * size)
    connections = strict.embedded._rest.server_state.connections
    strict.pool.clear()
    strict.wait_for(lambda: not connections)
    body = json.dumps(BODY).encode()
    with connect(strict) as connection:
        connection.sendall(head(len(body)) + body)
        strict.wait_for(lambda: connections)
        strict.wait_for(lambda: not connections)
        assert len(read_all(connection)) < size
    with connect(strict) as connection:  # control: who reads gets it all
        connection.sendall(head(len(body)) + body)
        found = 0
        while found < size:
            found += len(connection.recv(1 << 20))


def test_a_large_request_is_read_beside_the_others(serving, demo):
    with serving(demo) as server:
        texts = ["word " * 2_000] * 64  # 640 kB
        status, answer = server.post("demo:predict", {"instances": texts})
        assert status == 200
        assert {row["length"] for row in answer["predictions"]} == {10_000}
