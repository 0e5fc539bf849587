"""Requests of many lengths under XLA: what length buckets save.

    python tests/benchmarks/bench_length_buckets.py [--requests 80] [--buckets 16 32 64 128]

The default encoder is exported with an untrained head, with length buckets and without. Each is
loaded in a process of its own, with XLA's automatic clustering and without, replays its warm-up and
is then asked about one text at a time, of 5 to 202 tokens drawn by a seed. Prints one JSON object:
seconds of the warm-up, milliseconds of a request (median, 95th percentile, longest).

XLA is told to compile what it meets for the first time, and not for the second or third: then the
warm-up meets all that buckets leave. On CPUs it leaves the matrix products out.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from serving_process import build_model

from kerasft.export.layout import SIGNATURE

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
PRESET = "minilm_l6_en_uncased"
XLA_FLAGS = "--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit --tf_xla_enable_lazy_compilation=false"


def ask(version: Path, num_requests: int) -> dict[str, float]:
    """Loads a model, warms it up, and asks it; in the process that is called for it."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 - registers its ops

    from kerasft.export import replay
    from kerasft.export.layout import WARMUP

    loaded = tf.saved_model.load(str(version))
    start = time.perf_counter()
    replay.replay(loaded, version / WARMUP)
    warmed_up = time.perf_counter() - start
    answer, lengths = loaded.signatures[SIGNATURE], random.Random(1)
    milliseconds = []
    for _ in range(num_requests):
        text = tf.constant([". " * lengths.randint(3, 200)])
        start = time.perf_counter()
        answer(text=text)["logits"].numpy()
        milliseconds.append(1000 * (time.perf_counter() - start))
    return {
        "warm_up_seconds": round(warmed_up, 1),
        "median_ms": round(float(np.median(milliseconds)), 1),
        "p95_ms": round(float(np.percentile(milliseconds, 95)), 1),
        "longest_ms": round(max(milliseconds), 1),
    }


def main() -> None:
    """Measures the four, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=80)
    parser.add_argument("--buckets", type=int, nargs="+", default=[16, 32, 64, 128])
    parser.add_argument("--ask", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        print(json.dumps(ask(arguments.ask, arguments.requests)))
        return
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, buckets in (("plain", ()), ("buckets", tuple(arguments.buckets))):
            version = build_model(
                Path(folder) / kind, PRESET, length_buckets=buckets, signatures=(SIGNATURE,)
            )
            for name, flags in (("", ""), (" under XLA", XLA_FLAGS)):
                command = [sys.executable, __file__, "--ask", str(version)]
                result = subprocess.run(
                    [*command, "--requests", str(arguments.requests)],
                    env=os.environ | {"TF_XLA_FLAGS": flags},
                    stdout=subprocess.PIPE,
                    check=True,
                )
                found[kind + name] = json.loads(result.stdout)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
