"""Peak memory of reading one's own files: flat from 100,000 to 2,000,000 rows.

    python tests/benchmarks/bench_file_memory.py [--rows 100000 2000000]

Generates a CSV file of each size in a temporary folder, and in a process of its own for each goes
the way of a run before training: source, token store, inspection, splits. `peak_bytes` is the most
memory that was resident during each step (`VmHWM` of Linux, set back before the step), and for the
whole process (`getrusage`). `bytes_per_row` is the growth of it from the smallest file to the
largest; 16 of them are an array of hashes. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import csv
import gc
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

SENTENCE = ("a", "quiet", "film", "with", "the", "best", "story", "of", "this", "year", "and", "no")
LABELS = ("bad", "good", "mixed")


def write_rows(path: Path, num_rows: int) -> None:
    """Writes rows of about a hundred bytes, all different."""
    generator = random.Random(num_rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["body", "verdict"])
        for row in range(num_rows):
            words = generator.choices(SENTENCE, k=generator.randint(6, 32))
            writer.writerow([f"{' '.join(words)} {row}", generator.choice(LABELS)])


class Peaks(dict):
    """The most memory that was resident during each step, by its name, in bytes."""

    def __init__(self):
        super().__init__()
        self._set_back()

    def note(self, step: str) -> None:
        """Ends a step."""
        status = Path("/proc/self/status").read_text()
        (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
        self[step] = int(line.split()[1]) * 1024
        self._set_back()

    def _set_back(self) -> None:
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")


def measure(path: Path, folder: Path) -> dict[str, int]:
    """Goes the way of a run before training; returns the peak after each step."""
    from kerasft.data.files.source import FileSource
    from kerasft.data.inspection import inspect_source, length_preprocessor
    from kerasft.data.plan.splits import build_splits
    from kerasft.data.store.token_store import load_or_build_token_store
    from kerasft.models.tiny_random import load_vocabulary
    from kerasft.text.wordpiece import WordPiecePreprocessor

    vocabulary = load_vocabulary()
    preprocessor = WordPiecePreprocessor(vocabulary, sequence_length=32)
    preprocessor(["a text"])
    peaks = Peaks()
    peaks.note("nothing")
    source = FileSource(train_files=[str(path)], text_column="body", label_column="verdict")
    peaks.note("source")
    store = load_or_build_token_store(source, "train", preprocessor=preprocessor, folder=folder)
    peaks.note("token_store")
    inspect_source(source, preprocessor=length_preprocessor(vocabulary), sequence_length=32)
    peaks.note("inspection")
    build_splits(store.text_hashes, store.labels, {})
    peaks.note("splits")
    whole = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux: kilobytes
    return {**peaks, "whole_process": whole}


def measure_alone(script: str, path: Path, **environment: str) -> dict[str, float]:
    """Returns what the `measure` of a script finds in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, script, "--measure", str(path), folder]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
        result = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env=environment
        )
    return json.loads(result.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 2_000_000])
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*map(Path, arguments.measure))))
        return
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        for rows in arguments.rows:
            write_rows(path, rows)
            peaks[rows] = {"file": path.stat().st_size, **measure_alone(__file__, path)}
    fewest, most = min(peaks), max(peaks)
    report = {"peak_bytes": peaks}
    if fewest < most:
        report["bytes_per_row"] = {
            step: round((peaks[most][step] - peaks[fewest][step]) / (most - fewest), 1)
            for step in peaks[most]
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
