"""Load on both protocols of the embedded server, and SIGTERM in the middle of it.

    python tests/benchmarks/load_server.py [--requests 20000] [--connections 16] [--out FILE]
        [--model FOLDER] [--no-batching] [--new-version SECONDS]

Each connection asks one short text, waits for its answer, and asks again. Without `--model`, an
untrained classifier is exported. With `--new-version`, a copy of the version takes over again and
again. Prints one JSON object, and writes it to `--out`. For each protocol:

- `load`: `right`, `wrong` (another answer than when asked alone), `refused` and `lost` requests,
  how these ended that are not right, requests a second, and latencies in milliseconds;
- `megabytes`: the server's resident memory, in the median of each quarter of the load (Linux);
- `sigterm`: as `load`, around a SIGTERM. `refused` are requests that the server has not begun: no
  connection, 503, or UNAVAILABLE. None may be `wrong` or `lost`.

Exits with 1 where a request failed, or memory grew by more than a tenth between the second quarter
and the last. To compare with other code, run this file with its PYTHONPATH. Keep the machine quiet.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import functools
import http.client
import json
import os
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Callable
from pathlib import Path

import grpc
from serving_process import exported_model, serving

# Ours, about as long as a sentence of SST-2 (13 tokens on average).
TEXTS = [
    "A quiet, moving film with a fine cast.",
    "The plot drags, and nobody in it seems to care.",
    "Good fun from the first scene to the last one.",
    "Two hours that I will not get back.",
    "Lovely music; the rest is soon forgotten.",
]
_MOST_GROWTH = 1.1
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
    seconds: list[float] = []  # of each request

    def work(number: int) -> None:
        turn = number
        with contextlib.closing(connect()) as client:
            while num_requests is None or turn < num_requests:
                text = TEXTS[turn % len(TEXTS)]
                asked = time.perf_counter()
                is_right = count_outcome(client.ask, text, expected[text], counters[number])
                seconds.append(time.perf_counter() - asked)
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
    percentiles = statistics.quantiles(seconds, n=100, method="inclusive")
    latencies = {f"p{at}_ms": round(1000 * percentiles[at - 1], 2) for at in (50, 95, 99)}
    return dict(sorted(found.items())) | {"requests_per_second": round(rate, 1)} | latencies


def watch_memory(done: threading.Event, process_id: int, found: list[float]) -> None:
    """Notes a process's resident megabytes ten times a second."""
    while not done.wait(0.1):
        pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
        found.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def publish_versions(done: threading.Event, model: Path, seconds: float) -> None:
    """Puts a copy of the first version into place as a new one, again and again."""
    number = max(int(version.name) for version in model.iterdir())
    while not done.wait(seconds):
        number += 1
        beside = model / f".{number}"
        shutil.copytree(model / "1", beside)
        beside.rename(model / str(number))
        if number > 3:
            shutil.rmtree(model / str(number - 2))  # has not answered for a while


@contextlib.contextmanager
def beside(function: Callable, *arguments):
    """Runs `function(done, ...)` in a thread, and sets `done` when the block ends."""
    done = threading.Event()
    thread = threading.Thread(target=function, args=[done, *arguments])
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=20_000, help="on each protocol")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--model", type=Path, help="a model's folder; else one is made")
    parser.add_argument("--preset", default="minilm_l6_en_uncased", help="of the one that is made")
    parser.add_argument("--no-batching", action="store_true")
    parser.add_argument("--new-version", type=float, default=1e9, metavar="SECONDS")
    parser.add_argument("--out", type=Path, help="a file for the figures; else only printed")
    arguments = parser.parse_args()
    options = ["--no-batching"] if arguments.no_batching else []
    found: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        source = arguments.model or exported_model(Path(folder), arguments.preset)
        newest = max((v for v in source.iterdir() if v.name.isdigit()), key=lambda v: int(v.name))
        model = Path(folder) / "served"
        shutil.copytree(newest, model / "1")
        for protocol, client in PROTOCOLS.items():
            memory: list[float] = []
            with serving(model, *options) as (process, *addresses):
                run = functools.partial(
                    run_load, functools.partial(client, *addresses), arguments.connections
                )
                with (
                    beside(watch_memory, process.pid, memory),
                    beside(publish_versions, model, arguments.new_version),
                ):
                    load = run(arguments.requests)
                stopped = run(None, process)
                found[protocol] = {"load": load, "sigterm": stopped, "exit": process.wait(60)}
            quarter = max(1, len(memory) // 4)
            quarters = [memory[at : at + quarter] for at in range(0, 4 * quarter, quarter)]
            found[protocol]["megabytes"] = [round(statistics.median(q)) for q in quarters]
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    return int(any(map(has_failed, found.values())))


def has_failed(figures: dict) -> bool:
    """Whether a request has failed, or memory has grown."""
    load, stopped, (_, early, _, late) = (figures[n] for n in ("load", "sigterm", "megabytes"))
    lost = [found[name] for found in (load, stopped) for name in ("wrong", "lost")]
    return any(lost) or load["refused"] > 0 or late > _MOST_GROWTH * early


if __name__ == "__main__":
    sys.exit(main())
