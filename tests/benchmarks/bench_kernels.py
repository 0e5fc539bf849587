"""A training step with our kernels, against the same step with TensorFlow's operations.

    python tests/benchmarks/bench_kernels.py [--lengths 13 64 208] [--rounds 20]

Both train the default encoder with dropout 0.1 on the same batch of random tokens, step by step
in turn and in one process. Prints one JSON object: the median milliseconds of each, their ratio,
and the seconds of the first step, in which TensorFlow traces the graph. Keep the machine quiet.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time

from random_model import build_default_model, make_batch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_BATCH_SIZE = 32


def build_step(kernels):
    """Builds a model of the default encoder, and returns its compiled step."""
    import tensorflow as tf

    model = build_default_model(kernels)
    return tf.function(lambda data: model.train_step(data), reduce_retracing=True)


def seconds_of(step, batch) -> float:
    """Returns how long a step takes."""
    start = time.perf_counter()
    step(batch)["batch_loss"].numpy()
    return time.perf_counter() - start


def main() -> None:
    """Measures length by length and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[13, 64, 208])
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()

    from kerasft.models.fast.kernels.building import load_kernels
    from kerasft.training.loop.memory import keep_freed_memory

    keep_freed_memory()
    steps = {"tensorflow": build_step(None), "kernels": build_step(load_kernels())}
    report = {}
    for length in arguments.lengths:
        batch = make_batch([length] * _BATCH_SIZE)
        first = {name: seconds_of(step, batch) for name, step in steps.items()}
        for step in steps.values():
            seconds_of(step, batch)
        found = {name: [] for name in steps}
        for _ in range(arguments.rounds):
            for name, step in steps.items():
                found[name].append(1000 * seconds_of(step, batch))
        medians = {name: statistics.median(values) for name, values in found.items()}
        report[length] = {
            "step_ms": {name: round(value, 1) for name, value in medians.items()},
            "ratio": round(medians["tensorflow"] / medians["kernels"], 2),
            "first_seconds": {name: round(value, 1) for name, value in first.items()},
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
