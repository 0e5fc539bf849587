"""What it gains that a batch is as wide as its longest text, and not a multiple of 8 wide.

    python tests/benchmarks/bench_widths.py [--mean 13.3] [--batches 100] [--dtype mixed_bfloat16]

Draws lengths of short texts (log-normal, of SST-2's mean and spread), lays out an epoch as a run
does, and takes a training step of the default encoder's size on each batch, padded both ways, one
after the other. `time_ratio` is the time of all steps padded to a multiple of 8 over that of
all steps padded to their longest text; `padding_share` is the most that packing several texts into
a row could save. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from random_model import build_model, make_batch

_BATCH_SIZE, _SPREAD, _EXAMPLES = 32, 0.75, 20_000
_LONGEST = 64  # words


def draw_lengths(mean: float):
    """Draws lengths of texts, their special tokens included."""
    import numpy as np

    normal = np.random.default_rng(1).normal(size=_EXAMPLES)
    words = (mean - 2) * np.exp(_SPREAD * normal - _SPREAD**2 / 2)
    return (2 + np.clip(np.round(words), 1, _LONGEST)).astype(np.int64)


def build_step(dtype: str):
    """Builds the function of a step, for batches of any width."""
    import tensorflow as tf

    from kerasft.training.loop.memory import keep_freed_memory

    keep_freed_memory()
    model = build_model(dtype=dtype)
    matrix = tf.TensorSpec([None, None], tf.int32)
    inputs = dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), matrix)
    return tf.function(
        model.train_step, input_signature=[(inputs, tf.TensorSpec([None], tf.int32))]
    )


def main() -> None:
    """Measures and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mean", type=float, default=13.3, help="tokens of a text")
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--dtype", default="mixed_bfloat16")
    options = parser.parse_args()
    from kerasft.data.plan.batch_plan import BatchPlan, padding_share

    lengths = draw_lengths(options.mean)
    plan = BatchPlan(lengths, _BATCH_SIZE)
    batches = [plan.batch(number) for number in range(options.batches)]
    step = build_step(options.dtype)
    seconds, first = {8: [], 1: []}, {8: {}, 1: {}}
    for is_timed in (False, True):  # a width costs more the first time
        for rows in batches:
            for multiple, own in seconds.items():
                batch = make_batch(lengths[rows], multiple)
                width = batch[0]["token_ids"].shape[1]
                if not is_timed and width in first[multiple]:
                    continue
                start = time.perf_counter()
                step(batch)["batch_loss"].numpy()
                passed = time.perf_counter() - start
                own.append(passed) if is_timed else first[multiple].update({width: passed})
    report = {
        "padding_share": {m: round(padding_share(lengths, batches, m), 3) for m in seconds},
        "time_ratio": round(sum(seconds[8]) / sum(seconds[1]), 3),
        "widths": {m: len(own) for m, own in first.items()},
        "first_times_seconds": {m: round(sum(own.values()), 2) for m, own in first.items()},
        "median_ms": {m: round(1000 * statistics.median(own)) for m, own in seconds.items()},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
