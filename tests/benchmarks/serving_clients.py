"""Clients in a closed loop: each asks, waits for its answer, and asks again. Standard library only.

    python tests/benchmarks/serving_clients.py URL --clients 16 --seconds 20

Run as a process of its own, so that clients and server do not share an interpreter. Prints one JSON
object: requests, failures by status, requests a second, and latencies in milliseconds.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import statistics
import threading
import time
import urllib.parse

# Ours, about as long as a sentence of SST-2 (13 tokens on average).
TEXTS = [
    "A quiet, moving film with a fine cast.",
    "The plot drags, and nobody in it seems to care.",
    "Good fun from the first scene to the last one.",
    "Two hours that I will not get back.",
    "Lovely music; the rest is soon forgotten.",
]


class Client(threading.Thread):
    """One caller with one connection."""

    def __init__(self, url: str, number: int, until: float):
        super().__init__()
        parts = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
        self._path = parts.path
        self._number = number
        self._until = until
        self.seconds: list[float] = []
        self.statuses: collections.Counter[int] = collections.Counter()

    def run(self) -> None:
        turn = self._number
        while time.monotonic() < self._until:
            body = json.dumps({"instances": [TEXTS[turn % len(TEXTS)]]})
            turn += 1
            start = time.perf_counter()
            self._connection.request("POST", self._path, body)
            answer = self._connection.getresponse()
            answer.read()
            self.seconds.append(time.perf_counter() - start)
            self.statuses[answer.status] += 1
        self._connection.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="http://HOST:PORT/v1/models/NAME:predict")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    start = time.monotonic()
    clients = [
        Client(arguments.url, number, start + arguments.seconds)
        for number in range(arguments.clients)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    elapsed = time.monotonic() - start
    seconds = sorted(second for client in clients for second in client.seconds)
    statuses = sum((client.statuses for client in clients), collections.Counter())
    percentiles = statistics.quantiles(seconds, n=100, method="inclusive")
    found = {
        "requests": len(seconds),
        "failures": {str(code): count for code, count in statuses.items() if code != 200},
        "requests_per_second": round(len(seconds) / elapsed, 1),
        **{f"p{at}_ms": round(1000 * percentiles[at - 1], 2) for at in (50, 95, 99)},
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
