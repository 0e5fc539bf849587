"""Load on both protocols of the embedded server, and SIGTERM in the middle of it.

    python tests/benchmarks/load_server.py [--requests 20000] [--connections 16] [--out FILE]
        [--model FOLDER]

Each connection asks one text at a time. Without `--model`, an untrained classifier is exported.
Prints one JSON object, and writes it to `--out`. For each protocol:

- `load`: `right`, `wrong` (another answer than when asked alone), `refused` and `lost` requests,
  requests a second, and how these ended that are not right;
- `sigterm`: the same around a SIGTERM. `refused` are requests that the server has not begun: no
  connection, 503, or UNAVAILABLE. None may be `wrong` or `lost`.

Exits with 1 where a request failed. To compare with other code, run this file with its PYTHONPATH.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import http.client
import json
import signal
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import grpc
from serving_clients import TEXTS
from serving_process import exported_model, serving

_TOLERANCE = 1e-4  # a text that is padded for others gets other last digits
_BEFORE_SIGTERM_SECONDS = 2.0
_NOT_BEGUN = ("The server is stopping", "failed to connect", "Connection refused")


class RefusedError(Exception):
    """The server has not begun with a request."""


class RestClient:
    """A connection of REST."""

    def __init__(self, url: str, _: str):
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        self._path = parts.path

    def ask(self, text: str) -> tuple[str, list[float]]:
        """Returns label and probabilities of a text."""
        try:
            self._connection.request("POST", self._path, json.dumps({"instances": [text]}))
        except ConnectionRefusedError as error:
            raise RefusedError from error
        answer = self._connection.getresponse()
        content = json.loads(answer.read())
        if answer.status == 503:
            raise RefusedError
        (row,) = content["predictions"]
        return row["label"], row["probabilities"]

    def close(self) -> None:
        self._connection.close()


class GrpcClient:
    """A connection of gRPC."""

    def __init__(self, url: str, address: str):
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        options = [("grpc.use_local_subchannel_pool", 1)]  # else all share one connection
        self._channel = grpc.insecure_channel(address, options)
        self.close = self._channel.close
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._name = url.rpartition("/")[2].partition(":")[0]

    def ask(self, text: str) -> tuple[str, list[float]]:
        """Returns label and probabilities of a text."""
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._name
        tensor = request.inputs["text"]
        tensor.dtype = 7  # a string
        tensor.tensor_shape.dim.add(size=1)
        tensor.string_val.append(text.encode())
        try:
            outputs = self._service.Predict(request, timeout=60).outputs
        except grpc.RpcError as error:
            if any(words in error.details() for words in _NOT_BEGUN):
                raise RefusedError from error
            raise
        return outputs["label"].string_val[0].decode(), list(outputs["probabilities"].float_val)


PROTOCOLS = {"rest": RestClient, "grpc": GrpcClient}


def count_outcome(
    ask: Callable[[str], tuple], text: str, expected: tuple, found: collections.Counter
) -> bool:
    """Asks once and counts how it ended; returns whether the answer was right."""
    try:
        label, probabilities = ask(text)
    except RefusedError:
        found["refused"] += 1
        return False
    except Exception as error:
        found["lost"] += 1
        code = error.code().name if isinstance(error, grpc.RpcError) else type(error).__name__
        found[f"lost: {code}"] += 1
        return False
    near = zip(probabilities, expected[1], strict=True)
    is_right = label == expected[0] and all(abs(a - b) < _TOLERANCE for a, b in near)
    found["right" if is_right else "wrong"] += 1
    return is_right


def run_load(
    connect: Callable[[], RestClient | GrpcClient],
    num_connections: int,
    num_requests: int | None,
    process_to_stop=None,
) -> dict[str, float]:
    """Lets each connection ask its share of the requests; returns what was counted.

    With `process_to_stop`, they ask until they are refused, and it gets SIGTERM meanwhile.
    """
    with contextlib.closing(connect()) as alone:
        expected = {text: alone.ask(text) for text in TEXTS}
    counters = [collections.Counter() for _ in range(num_connections)]

    def work(number: int) -> None:
        turn = number
        with contextlib.closing(connect()) as client:
            while num_requests is None or turn < num_requests:
                text = TEXTS[turn % len(TEXTS)]
                is_right = count_outcome(client.ask, text, expected[text], counters[number])
                if process_to_stop is not None and not is_right:
                    return
                turn += num_connections

    threads = [threading.Thread(target=work, args=[n]) for n in range(num_connections)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    if process_to_stop is not None:
        time.sleep(_BEFORE_SIGTERM_SECONDS)
        process_to_stop.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    found = sum(counters, collections.Counter())
    found = {name: found[name] for name in {"right", "wrong", "refused", "lost"} | found.keys()}
    rate = found["right"] / (time.monotonic() - start)
    return dict(sorted(found.items())) | {"requests_per_second": round(rate, 1)}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000, help="on each protocol")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--model", type=Path, help="a model's folder; else one is made")
    parser.add_argument("--preset", default="minilm_l6_en_uncased", help="of the one that is made")
    parser.add_argument("--out", type=Path, help="a file for the figures; else only printed")
    arguments = parser.parse_args()
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or exported_model(Path(folder), arguments.preset)
        for protocol, client in PROTOCOLS.items():
            with serving(model) as (process, *addresses):
                run = functools.partial(
                    run_load, functools.partial(client, *addresses), arguments.connections
                )
                load, stopped = run(arguments.requests), run(None, process)
                found[protocol] = {"load": load, "sigterm": stopped, "exit": process.wait(60)}
            text = json.dumps(found, indent=2)
            if arguments.out:
                arguments.out.write_text(text + "\n")
    print(text)
    failed = [
        one[name]
        for both in found.values()
        for one in (both["load"], both["sigterm"])
        for name in ("wrong", "lost")
    ]
    return int(any(failed) or any(both["load"]["refused"] for both in found.values()))


if __name__ == "__main__":
    sys.exit(main())
