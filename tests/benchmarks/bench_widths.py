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
    import keras_hub
    import tensorflow as tf

    from kerasft.models.encoder import Encoder
    from kerasft.tasks.task import build_task
    from kerasft.training.fine_tuner import FineTuner
    from kerasft.training.memory import keep_freed_memory
    from kerasft.training.optimizer import AdamW

    keep_freed_memory()
    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=30522,
        num_layers=6,
        num_heads=12,
        hidden_dim=384,
        intermediate_dim=1536,
        max_sequence_length=512,
        dropout=0.1,
        dtype=dtype,
    )
    task = build_task("single", ["a", "b"])
    model = FineTuner(
        Encoder(backbone),
        task.build_head(hidden_dim=384, dropout=0.1, seed=1),
        global_clipnorm=1.0,
    )
    model.compile(optimizer=AdamW(1e-5), loss=task.build_loss(), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    matrix = tf.TensorSpec([None, None], tf.int32)
    inputs = dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), matrix)
    return tf.function(
        model.train_step, input_signature=[(inputs, tf.TensorSpec([None], tf.int32))]
    )


def make_batch(lengths, multiple: int):
    """Makes one batch of texts of these lengths."""
    import numpy as np
    import tensorflow as tf

    from kerasft.data.balance import padded_length

    shape = (len(lengths), padded_length(lengths, multiple))
    real = (np.arange(shape[1]) < lengths[:, None]).astype("int32")
    ids = np.random.default_rng(2).integers(1000, 30000, shape, dtype="int32") * real
    inputs = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": real}
    return tf.nest.map_structure(tf.constant, (inputs, ids[:, 0] % 2))


def main() -> None:
    """Measures and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mean", type=float, default=13.3, help="tokens of a text")
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--dtype", default="mixed_bfloat16")
    options = parser.parse_args()
    from kerasft.data.batch_plan import BatchPlan, padding_share

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
