"""Training speed: kerasft against Hugging Face Trainer, in turn, on the same examples.

    python tests/benchmarks/bench_training.py --dataset imdb_reviews --length 256 \\
        --peer-python PEER_VENV/bin/python [--evaluate]

Prints one JSON object: examples per second of both, pair by pair, and the ratio of the medians.
Without `--peer-python`, kerasft alone. kerasft is given with and without its first two steps, in
which TensorFlow traces the graph; the peer (peer_trainer.py) compiles nothing, and takes its batch
in parts of each size of `--peer-batch-sizes`, of which the best counts. `--evaluate` also predicts
the same examples, in the precision of training, as a run does between its epochs.

`gemm_gflops` is the rate of a product of two large matrices in the run's precision, the mean of
before and after; `gemm_share` is what the traced steps reach of it, counting the products of the
encoder's layers alone, forward and backward, padding included. `peak_gib` is the most memory that
the process had. Keep the machine quiet.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
EVALUATED_AT_ONCE = 64


def measure_ours(arguments) -> dict[str, float]:
    """Trains on the examples once; returns examples per second."""
    from kerasft.evaluation.forward import build_forward
    from kerasft.runs.data import data
    from kerasft.runs.train import build_trained_model
    from kerasft.training.loop.loop import train_steps

    context = open_context(arguments)
    model = build_trained_model(context)
    batches = data.train_batches(
        context.data, context.plan, total_steps=context.settings.total_steps, replicas=1
    )
    dtype = model.encoder.compute_dtype
    gemm = [_gemm_gflops(dtype)]
    seconds = [r.seconds for r in train_steps(model, context.strategy, batches(0), start_step=0)]
    gemm.append(_gemm_gflops(dtype))
    widths = [inputs["token_ids"].shape[1] for inputs, *_ in batches(0)]
    size = arguments.batch_size
    work = size * sum(_gflop(model.encoder.backbone, width) for width in widths[2:])
    found = {
        "examples_per_second": size * len(seconds) / sum(seconds),
        "examples_per_second_traced": size * len(seconds[2:]) / sum(seconds[2:]),
        "gemm_gflops": statistics.fmean(gemm),
        "gemm_share": work / sum(seconds[2:]) / statistics.fmean(gemm),
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    if arguments.evaluate:
        predict = functools.partial(
            data.split_logits,
            build_forward(model, context.strategy),
            context.data,
            "train",
            batch_size=EVALUATED_AT_ONCE,
        )
        predict()  # the graph is traced
        start = time.perf_counter()
        logits = predict()
        found["evaluated_per_second"] = len(logits) / (time.perf_counter() - start)
    return found


def _gflop(backbone, tokens: int) -> float:
    """Returns the work of the matrix products of a text's step: two thirds of it are gradients."""
    width, inner = backbone.hidden_dim, backbone.intermediate_dim
    weights = backbone.num_layers * (4 * width**2 + 2 * width * inner)
    attention = backbone.num_layers * 2 * tokens * width
    return 3 * 2 * tokens * (weights + attention) / 1e9


def _gemm_gflops(dtype: str, size: int = 4096) -> float:
    """Returns the best rate of five products of two large matrices."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.normal((size, size)), dtype)
    multiply = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0])
    multiply()
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        multiply().numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / 1e9 / min(seconds)


def open_context(arguments):
    """Loads the recipe's data and encoder as a run would."""
    from kerasft.recipe import load_recipe
    from kerasft.runs.context import load_context

    recipe = load_recipe(
        "imdb",
        {
            "data.dataset": arguments.dataset,
            "data.train_examples": arguments.examples,
            "data.test_splits": (),  # nothing is tested, and GLUE hides those labels
            "model.sequence_length": arguments.length,
            "model.dropout": arguments.dropout,
            "training.epochs": 1.0,
            "training.batch_size": arguments.batch_size,
            "training.gradient_accumulation_steps": arguments.parts,
            "performance.kernels": False if arguments.no_kernels else None,
        },
    )
    return load_context(recipe)


def write_examples(context, folder: Path) -> None:
    """Writes the very examples that kerasft trains on as the peer's JSON lines."""
    wanted = set(context.data.examples("train")[1].tolist())
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for index, example in enumerate(context.data.source.iterate("train")):
            if index in wanted:
                row = {"text": example.text.decode(), "label": int(example.label)}
                file.write(json.dumps(row) + "\n")


def measure_peer(arguments, folder: Path, size: int) -> dict[str, float]:
    """Runs the peer on the same examples."""
    from kerasft.models.presets import find_preset

    command = [
        *(arguments.peer_python, str(Path(__file__).with_name("peer_trainer.py"))),
        *("--model", find_preset(arguments.preset), "--examples", str(folder / "train.jsonl")),
        *("--max-length", str(arguments.length), "--batch-size", str(arguments.batch_size)),
        *("--micro-batch-size", str(size)),
        *(["--bf16"] if arguments.peer_bf16 else []),
        *(["--evaluate"] if arguments.evaluate else []),
    ]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_self(arguments) -> dict[str, float]:
    """Measures kerasft in a process of its own, as the peer has one."""
    command = [sys.executable, __file__, "--ours", *sys.argv[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures pair by pair and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="imdb_reviews")
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--examples", type=int, default=640)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--parts", type=int, default=1, help="of a batch, one after the other")
    parser.add_argument("--dropout", type=float, default=0.1, help="the peer has 0.1")
    parser.add_argument("--preset", default="minilm_l6_en_uncased")
    parser.add_argument("--pairs", type=int, default=1)
    parser.add_argument("--peer-python")
    parser.add_argument("--no-kernels", action="store_true", help="ours without its kernels")
    parser.add_argument("--peer-bf16", action="store_true", help="as dtype_policy=auto may choose")
    parser.add_argument("--peer-batch-sizes", type=int, nargs="+", default=[32, 8])
    parser.add_argument("--evaluate", action="store_true", help="predict the examples, too")
    parser.add_argument("--ours", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ours:
        print(json.dumps(measure_ours(arguments)))
        return
    ours, peer = [], {size: [] for size in arguments.peer_batch_sizes}
    with tempfile.TemporaryDirectory() as folder:
        if arguments.peer_python:
            write_examples(open_context(arguments), Path(folder))
        for _ in range(arguments.pairs):
            ours.append(run_self(arguments))
            for size, runs in peer.items() if arguments.peer_python else ():
                runs.append(measure_peer(arguments, Path(folder), size))
    result = {"ours": ours, "peer": peer}
    if arguments.peer_python:
        for name in ("examples_per_second", "examples_per_second_traced", "evaluated_per_second"):
            theirs = name.removesuffix("_traced")
            if name in ours[0]:
                best = max(statistics.median(run[theirs] for run in runs) for runs in peer.values())
                result[f"{name}_ratio"] = statistics.median(run[name] for run in ours) / best
    print(json.dumps(result))


if __name__ == "__main__":
    main()
