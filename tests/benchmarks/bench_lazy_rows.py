"""A training step that updates the token table row by row, against one that updates it whole.

    python tests/benchmarks/bench_lazy_rows.py [--rows 30522 250037] [--lengths 13 64] [--rounds 24]

Both train the same BERT of random weights on the same batches, step by step in turn and in one
process, with the kernels of the step. Token ids follow Zipf's law, as words do. A table of 30,522
rows is the default encoder's, with 6 layers; one of 250,037 is multilingual E5's, with 12. Prints
a JSON line for each pair of rows and length: the median milliseconds of each, and median and
quartiles of the ratio. Keep the machine quiet.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from random_model import build_model, make_batch

_BATCH_SIZE, _NUM_BATCHES, _FIRST_WORD, _ZIPF = 32, 8, 1000, 1.15
_LARGE = 100_000  # rows, from which on a table is a multilingual one
WHOLE, LAZY = "whole", "lazy"


def build_step(num_rows: int, *, lazy: bool):
    """Builds a model, and returns its compiled step."""
    import keras
    import tensorflow as tf

    from kerasft.models.fast.kernels.building import load_kernels
    from kerasft.training.step.precision import resolve_dtype_policy

    keras.utils.set_random_seed(1)
    model = build_model(
        dtype=resolve_dtype_policy("auto"),
        layers=12 if num_rows >= _LARGE else 6,
        vocabulary_size=num_rows,
        lazy=lazy,
        kernels=load_kernels(),
    )
    return tf.function(lambda data: model.train_step(data), reduce_retracing=True)


def make_batches(num_rows: int, length: int):
    """Makes batches of texts of one length whose words are as frequent as Zipf's law says."""
    import numpy as np
    import tensorflow as tf

    inputs, labels = make_batch([length] * _BATCH_SIZE)
    shape = inputs["token_ids"].shape
    for seed in range(_NUM_BATCHES):
        ranks = np.random.default_rng(seed).zipf(_ZIPF, shape)
        ids = np.minimum(ranks + _FIRST_WORD, num_rows - 1).astype("int32")
        yield {**inputs, "token_ids": tf.constant(ids)}, labels


def measure(steps, batches, rounds: int) -> dict[str, object]:
    """Times the steps in turn on the same batches; returns medians and ratios."""
    for step in steps.values():
        for batch in batches[:2]:
            step(batch)["batch_loss"].numpy()
    found = {name: [] for name in steps}
    for number in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step(batches[number % len(batches)])["batch_loss"].numpy()
            found[name].append(1000 * (time.perf_counter() - start))
    ratios = [whole / lazy for whole, lazy in zip(found[WHOLE], found[LAZY], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {
        "step_ms": {name: round(statistics.median(values), 1) for name, values in found.items()},
        "ratio": round(middle, 3),
        "quartiles": [round(low, 3), round(high, 3)],
    }


def main() -> None:
    """Measures each table and length, and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[30522, 250037])
    parser.add_argument("--lengths", type=int, nargs="+", default=[13, 64])
    parser.add_argument("--rounds", type=int, default=24)
    arguments = parser.parse_args()

    from kerasft.training.loop.memory import keep_freed_memory

    keep_freed_memory()
    for num_rows in arguments.rows:
        steps = {name: build_step(num_rows, lazy=name == LAZY) for name in (WHOLE, LAZY)}
        for length in arguments.lengths:
            batches = list(make_batches(num_rows, length))
            figures = measure(steps, batches, arguments.rounds)
            sys.stdout.write(f"{json.dumps({'rows': num_rows, 'length': length, **figures})}\n")
            sys.stdout.flush()
        del steps
        gc.collect()


if __name__ == "__main__":
    main()
