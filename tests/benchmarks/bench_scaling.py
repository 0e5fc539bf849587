"""What two processes send each other, against the model of docs/scaling.md.

    python tests/benchmarks/bench_scaling.py

Sums arrays of several sizes over two processes of this machine, fits bandwidth and latency to the
smallest and the largest, and predicts the others. Then trains the default encoder: one process on
one core with half a batch, two processes on a core each with a whole one; the difference is what
the model says of the gradients. Prints one JSON object. Keep the machine quiet; more than two
processes would measure how they share two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from scaling_model import Link, all_reduce_seconds, step_seconds

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_SIZES = (4_000, 400_000, 4_000_000, 40_000_000, 90_000_000)  # bytes
_REPEATS, _STEPS, _TRACED, _LENGTH, _BATCH_SIZE = 15, 8, 3, 64, 32


def measure_sums() -> dict[int, float]:
    """Returns the median seconds of a sum by its bytes; one of two processes."""
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()

    @tf.function(reduce_retracing=True)
    def add_up(values):
        return strategy.reduce(
            tf.distribute.ReduceOp.SUM, strategy.run(tf.identity, args=(values,)), axis=None
        )

    found = {}
    for size in _SIZES:
        values = tf.ones([size // 4])
        seconds = []
        for _ in range(_REPEATS + 3):
            start = time.perf_counter()
            add_up(values).numpy()
            seconds.append(time.perf_counter() - start)
        found[size] = statistics.median(seconds[3:])
    return found


def measure_steps(batch_size: int) -> dict[str, float]:
    """Returns the median seconds of a step, and the bytes of its gradients."""
    import numpy as np
    import tensorflow as tf

    from kerasft.models.encoder import Encoder
    from kerasft.models.presets import load_preset
    from kerasft.tasks.task import build_task
    from kerasft.training.distribution.strategy import build_strategy
    from kerasft.training.loop.loop import train_steps
    from kerasft.training.step.fine_tuner import FineTuner
    from kerasft.training.step.optimizer import AdamW

    strategy = build_strategy("auto")
    with strategy.scope():
        task = build_task("single", ["a", "b"])
        encoder = Encoder(load_preset("minilm_l6_en_uncased", dropout=0.0).backbone)
        head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.0, seed=1)
        model = FineTuner(encoder, head, global_clipnorm=1.0)
        model.compile(optimizer=AdamW(1e-5), loss=task.build_loss(), jit_compile=False)
        model.optimizer.build(model.trainable_variables)
    ids = np.random.default_rng(1).integers(1000, 30000, (batch_size, _LENGTH), dtype="int32")
    inputs = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids * 0 + 1}
    batch = (inputs, ids[:, 0] % 2, np.ones(batch_size, "float32"))
    batches = tf.data.Dataset.from_tensors(batch).repeat(_STEPS + _TRACED)
    seconds = [step.seconds for step in train_steps(model, strategy, batches, start_step=0)]
    weights = sum(v.shape.num_elements() for v in model.trainable_variables)
    return {"seconds": statistics.median(seconds[_TRACED:]), "gradient_bytes": 4 * weights}


def run_self(*arguments: str, workers: int = 1) -> dict:
    """Runs a part of this file on so many processes, each on one core; returns the chief's."""
    script = f"taskset -c ${{TF_INDEX:-0}} {sys.executable} {__file__} {' '.join(arguments)}"
    index = "TF_INDEX=$(echo $TF_CONFIG | grep -o '\"index\": [0-9]' | grep -o '[0-9]$')"
    command = ["sh", "-c", f"{index}; {script}"]
    if workers > 1:
        command = [sys.executable, "-m", "kerasft", "launch", "--workers", "2", "--", *command]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures, predicts and prints both."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=("sums", "steps"), help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, default=_BATCH_SIZE, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part is not None:
        found = measure_sums() if arguments.part == "sums" else measure_steps(arguments.batch_size)
        print(json.dumps(found))
        return
    sums = {int(size): seconds for size, seconds in run_self("--part", "sums", workers=2).items()}
    small, large = min(sums), max(sums)
    rate = (large - small) / (sums[large] - sums[small])  # with two processes each sends it all
    link = Link(bytes_per_second=rate, seconds=sums[small] / 2)
    alone = run_self("--part", "steps", "--batch-size", str(_BATCH_SIZE // 2))
    together = run_self("--part", "steps", workers=2)
    print(
        json.dumps(
            {
                "megabytes_per_second": link.bytes_per_second / 1e6,
                "latency_ms": 1000 * link.seconds,
                "sums_ms": {
                    size: {
                        "measured": 1000 * seconds,
                        "predicted": 1000 * all_reduce_seconds(size, 2, link),
                    }
                    for size, seconds in sums.items()
                },
                "step_ms": {
                    "one process, half the batch": 1000 * alone["seconds"],
                    "two processes, measured": 1000 * together["seconds"],
                    "two processes, predicted": 1000
                    * step_seconds(alone["seconds"], alone["gradient_bytes"], 2, link),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
