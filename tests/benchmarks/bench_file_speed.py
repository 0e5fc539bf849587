"""Processor time of reading and tokenizing one's own files, by format; paired with a checkout.

    python tests/benchmarks/bench_file_speed.py [--rows 100000] [--pairs 3] [--before CHECKOUT]

Generates the same rows as CSV, JSON lines and Parquet, and as Parquet with a column of 768 floats
that nobody reads. Each measurement is a process of its own that opens the source, which reads
everything once, and writes the token store. With `--before` the two checkouts take turns. Prints
one JSON object for each measurement as soon as it is there, and then the medians in seconds; with
`--before` also the median of the ratios of the pairs, after to before.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import tempfile
import time
from pathlib import Path

from bench_file_memory import measure_alone, write_rows

CHECKOUT = Path(__file__).parents[2]
FORMATS = ("csv", "jsonl", "parquet", "wide")


def write_files(folder: Path, num_rows: int) -> dict[str, Path]:
    """Writes the files; returns their paths by format."""
    import numpy as np
    import pyarrow
    import pyarrow.parquet

    paths = {name: folder / f"rows.{name}" for name in ("csv", "jsonl", "parquet")}
    paths["wide"] = folder / "wide.parquet"
    write_rows(paths["csv"], num_rows)
    with paths["csv"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with paths["jsonl"].open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, paths["parquet"])
    floats = np.random.default_rng(0).random(num_rows * 768, np.float32)
    vectors = pyarrow.FixedSizeListArray.from_arrays(floats, 768).cast(
        pyarrow.list_(pyarrow.float32())
    )
    pyarrow.parquet.write_table(table.append_column("vector", vectors), paths["wide"])
    return paths


def measure(path: Path, folder: Path) -> dict[str, float]:
    """Returns the seconds of opening the source, and of writing the token store."""
    from kerasft.data.files.source import FileSource
    from kerasft.data.store.token_store import load_or_build_token_store
    from kerasft.models.tiny_random import load_vocabulary
    from kerasft.text.wordpiece import WordPiecePreprocessor

    preprocessor = WordPiecePreprocessor(load_vocabulary(), sequence_length=32)
    preprocessor(["a text"])
    start = time.process_time()
    source = FileSource(train_files=[str(path)], text_column="body", label_column="verdict")
    opened = time.process_time()
    load_or_build_token_store(source, "train", preprocessor=preprocessor, folder=folder)
    return {"source": opened - start, "tokens": time.process_time() - opened}


def measure_in_process(path: Path, checkout: Path) -> float:
    """Returns the seconds of both steps in a fresh process that runs a checkout."""
    return sum(measure_alone(__file__, path, PYTHONPATH=str(checkout)).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--pairs", type=int, default=3, help="measurements of each checkout")
    parser.add_argument("--before", type=Path, help="another checkout, to compare with")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*map(Path, arguments.measure))))
        return
    checkouts = {"before": arguments.before} if arguments.before else {}
    checkouts["after"] = CHECKOUT
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), arguments.rows)
        for name in arguments.formats:
            seconds = {which: [] for which in checkouts}
            for pair in range(arguments.pairs):
                for which in sorted(checkouts, reverse=pair % 2 == 1):
                    seconds[which].append(measure_in_process(paths[name], checkouts[which]))
                    print(json.dumps({"format": name, which: seconds[which][-1]}), flush=True)
            report[name] = {which: statistics.median(found) for which, found in seconds.items()}
            if arguments.before:
                pairs = zip(seconds["after"], seconds["before"], strict=True)
                report[name]["ratio"] = statistics.median(a / b for a, b in pairs)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
