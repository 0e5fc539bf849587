"""The embedded server with batching and without, in turn: closed loop, short texts.

    python tests/benchmarks/bench_serving.py [--clients 16] [--seconds 20] [--rounds 3]
        [--model saved_models/imdb]

Without `--model`, an untrained classifier on the default encoder is exported first. Prints one JSON
object: throughput and latencies of each round, and the ratio of the medians. Clients are a process
of their own on the same machine, and take their share of it. Keep the machine quiet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path

from serving_process import exported_model, run_clients, serving

WAYS = {"batching": (), "no_batching": ("--no-batching",)}
_WARM_SECONDS = 3.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, help="a model's folder; else one is made")
    parser.add_argument("--preset", default="minilm_l6_en_uncased", help="of the one that is made")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model or exported_model(Path(folder), arguments.preset)
        rounds: dict[str, list[dict]] = {way: [] for way in WAYS}
        for _ in range(arguments.rounds):
            for way, options in WAYS.items():
                with serving(model, *options) as (_, url, _):
                    run_clients(url, arguments.clients, _WARM_SECONDS)
                    found = run_clients(url, arguments.clients, arguments.seconds)
                rounds[way].append(found)
    medians = {
        way: statistics.median(one["requests_per_second"] for one in found)
        for way, found in rounds.items()
    }
    print(
        json.dumps(
            {
                "clients": arguments.clients,
                "rounds": rounds,
                "requests_per_second": medians,
                "ratio": round(medians["batching"] / medians["no_batching"], 2),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
