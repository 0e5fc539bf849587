"""Peak memory and time of a training step: plain, with gradient checkpointing, attention in chunks.

    python tests/benchmarks/bench_memory.py [--lengths 128 512 2048] [--batch-size 8] [--chunk 64]
        [--dtype mixed_bfloat16] [--repeats 3]

An encoder of the default one's size with random weights and a longer table of positions takes
AdamW steps on texts that are all of one length. Memory: each way and length in a process of its
own; `step_bytes` is the most that was resident during two steps (`VmHWM` of Linux) above what was
resident before: activations, gradients, and the optimizer's two moments. Time: all ways in turn in
one process; `time_ratio` is the median step over the plain one's. `growth` is the exponent with
which `step_bytes` grows between the two longest lengths: 1 for linear, 2 for quadratic. Prints one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from random_model import build_model, make_batch

_WAYS = {
    "plain": (False, False),
    "checkpointed": (True, False),
    "chunked": (False, True),
    "both": (True, True),
}


def build_step(way: str, options: argparse.Namespace, length: int):
    """Builds the function of a step on one fixed batch."""
    import tensorflow as tf

    checkpointed, in_chunks = _WAYS[way]
    model = build_model(
        dtype=options.dtype,
        layers=options.layers,
        longest=max(options.lengths),
        gradient_checkpointing=checkpointed,
        attention_chunk=options.chunk if in_chunks else 0,
    )
    batch = make_batch([length] * options.batch_size)
    step = tf.function(model.train_step, reduce_retracing=True)
    return lambda: float(step(batch)["batch_loss"])


def resident_bytes(which: str) -> int:
    """Returns what Linux says of this process: `VmRSS` is now, `VmHWM` the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{which}:"))
    return int(line.split()[1]) * 1024


def measure_memory(way: str, options: argparse.Namespace, length: int) -> int:
    """Returns the peak of two steps above what is resident before."""
    from kerasft.training.loop.memory import keep_freed_memory

    keep_freed_memory()
    step = build_step(way, options, length)
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(2):
        step()
    return resident_bytes("VmHWM") - before


def measure_times(ways: list[str], options: argparse.Namespace, length: int) -> dict[str, list]:
    """Returns the seconds of each way's steps, taken in turn."""
    from kerasft.training.loop.memory import keep_freed_memory

    keep_freed_memory()
    steps = {way: build_step(way, options, length) for way in ways}
    seconds = {way: [] for way in ways}
    for round_ in range(options.repeats + 1):
        for way, step in steps.items():
            start = time.perf_counter()
            step()
            if round_:  # the first one traces
                seconds[way].append(round(time.perf_counter() - start, 3))
    return seconds


def in_process(arguments: list[str]) -> dict:
    """Runs this script anew with more arguments; returns what it printed."""
    command = [sys.executable, __file__, *sys.argv[1:], *arguments]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(result.stdout)


def report_on(length: int, options: argparse.Namespace) -> dict[str, dict]:
    """Measures all ways at one length."""
    report = {}
    for way in options.ways:
        report[way] = {"step_bytes": in_process(["--memory", way, str(length)])}
    seconds = in_process(["--times", str(length)]) if options.repeats else {}
    for way, own in seconds.items():
        report[way]["step_seconds"] = own
    first = report[options.ways[0]]
    for found in report.values():
        found["memory_ratio"] = round(found["step_bytes"] / first["step_bytes"], 3)
        if options.repeats:
            medians = [statistics.median(row["step_seconds"]) for row in (found, first)]
            found["time_ratio"] = round(medians[0] / medians[1], 3)
    return report


def main() -> None:
    """Measures length by length and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 512, 1024])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--chunk", type=int, default=128)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=3, help="0: memory alone")
    parser.add_argument("--ways", nargs="+", choices=_WAYS, default=list(_WAYS))
    parser.add_argument("--memory", nargs=2, metavar=("WAY", "LENGTH"), help=argparse.SUPPRESS)
    parser.add_argument("--times", type=int, metavar="LENGTH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        print(json.dumps(measure_memory(options.memory[0], options, int(options.memory[1]))))
        return
    if options.times:
        print(json.dumps(measure_times(options.ways, options, options.times)))
        return
    lengths = sorted(options.lengths)
    by_length = {length: report_on(length, options) for length in lengths}
    report = {"settings": vars(options), "by_length": by_length}
    if len(lengths) > 1:
        short, long = lengths[-2:]
        report["growth"] = {
            way: round(
                math.log(
                    by_length[long][way]["step_bytes"] / by_length[short][way]["step_bytes"],
                    long / short,
                ),
                2,
            )
            for way in options.ways
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
