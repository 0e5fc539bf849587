"""Load for ten minutes: is the embedded server's memory flat, and does every request get an answer?

    python tests/benchmarks/load_serving.py [--minutes 10] [--clients 16] [--model FOLDER]

A new version takes over every minute, so that loading and dropping are part of it. Prints one JSON
object: resident megabytes once a second in the median of each minute, and the clients' figures.
Exits with 1 where a request failed, or memory grew by more than a tenth between the second quarter
of the time and the last. Not part of `make bench`, for its length.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
from pathlib import Path

from serving_process import exported_model, run_clients, serving

_MOST_GROWTH = 1.1


def resident_megabytes(process_id: int) -> float:
    """Returns the memory that a process holds now (Linux)."""
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watch(process_id: int, done: threading.Event, found: list[float]) -> None:
    """Notes a process's memory once a second."""
    while not done.wait(1.0):
        found.append(resident_megabytes(process_id))


def publish_versions(model: Path, done: threading.Event, seconds: float) -> None:
    """Puts a copy of the first version into place as a new one, again and again."""
    (first, *_) = sorted(model.iterdir())
    number = int(first.name)
    while not done.wait(seconds):
        number += 1
        beside = model / f".{number}"
        shutil.copytree(first, beside)
        beside.rename(model / str(number))
        if number - 2 > int(first.name):
            shutil.rmtree(model / str(number - 2))  # has not answered for a while


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--model", type=Path, help="a model's folder; else one is made")
    parser.add_argument("--preset", default="minilm_l6_en_uncased", help="of the one that is made")
    arguments = parser.parse_args()
    memory: list[float] = []
    done = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "served"
        source = arguments.model or exported_model(Path(folder), arguments.preset)
        newest = max((v for v in source.iterdir() if v.name.isdigit()), key=lambda v: int(v.name))
        shutil.copytree(newest, model / "1")
        seconds = 60 * arguments.minutes
        with serving(model) as (process, url, _):
            helpers = [
                threading.Thread(target=watch, args=(process.pid, done, memory)),
                threading.Thread(target=publish_versions, args=(model, done, seconds / 10)),
            ]
            for helper in helpers:
                helper.start()
            clients = run_clients(url, arguments.clients, seconds)
            done.set()
            for helper in helpers:
                helper.join()
            versions = len(list(model.iterdir()))
    quarter = len(memory) // 4
    early, late = (statistics.median(memory[at : at + quarter]) for at in (quarter, 3 * quarter))
    minutes = [memory[at : at + 60] for at in range(0, len(memory), 60)]
    found = {
        "clients": clients,
        "megabytes_by_minute": [round(statistics.median(minute)) for minute in minutes],
        "growth": round(late / early, 3),
        "versions_on_disk": versions,
    }
    print(json.dumps(found, indent=2))
    return int(bool(clients["failures"]) or late > _MOST_GROWTH * early)


if __name__ == "__main__":
    sys.exit(main())
