"""Latency of an exported model at batch 1 and batch 32, in the C loader: no server, no Python.

    python tests/benchmarks/bench_latency.py [--saved-model saved_models/imdb/3] [--repeats 300]
        [--quantize bfloat16] [--intra 2] [--inter 2] [--peer-python PYTHON --peer-model FOLDER]

Without `--saved-model` the default encoder is exported with an untrained head, as `--quantize`, the
option of `kerasft export`, has it. `--intra` and
`--inter` are the session's threads, as the server's `--tensorflow_intra_op_parallelism` and
`--tensorflow_inter_op_parallelism`. Where the model has warm-up records they are replayed first, as
a server does; then the first request is to be compared with the tenth.

`--peer-python` names a Python with torch and transformers: right after ours, the same texts go
through a Hugging Face `pipeline` and through its bare model and tokenizer, on as many threads.
`--peer-model` is the folder of a classifier of the same size; under `--quantize bfloat16` it is
measured both as it is and in bfloat16.

Prints one JSON object. Keep the machine quiet.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from serving_process import build_model

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1] / "serving" / "loader"))

TEXTS = (
    "A quiet, moving film about people who lose everything they had.",
    "I would not watch this again.",
    "The plot makes no sense, but the music is a joy from start to end.",
    "Good.",
)
BATCH_SIZES = (1, 32)

PEER = """
import json, sys, time
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
folder, threads, repeats, texts, sizes, dtype = json.loads(sys.argv[1])
torch.set_num_threads(threads)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
model = model.to(getattr(torch, dtype))
classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")

def ask_model(batch):
    with torch.inference_mode():
        return model(**tokenizer(batch, padding=True, truncation=True, return_tensors="pt")).logits

def measure(ask, batch):
    times = []
    for _ in range(repeats + 10):
        start = time.perf_counter()
        ask(batch)
        times.append(1000 * (time.perf_counter() - start))
    return times

answer = {}
for size in sizes:
    batch = (texts * size)[:size]
    answer[size] = {
        "pytorch": measure(ask_model, batch),
        "pipeline": measure(lambda b: classify(b, batch_size=len(b)), batch),
    }
print(json.dumps(answer))
"""


def summarize(milliseconds: list[float], *, skipped: int = 10) -> dict[str, float]:
    """Returns the percentiles of the runs after the first few, and the first and the tenth run."""
    import numpy as np

    p50, p95, p99 = np.percentile(milliseconds[skipped:], [50, 95, 99])
    found = {"p50": p50, "p95": p95, "p99": p99}
    found |= {"first": milliseconds[0], "tenth": milliseconds[9]}
    return {name: round(float(value), 3) for name, value in found.items()}


def measure_ours(version: Path, arguments, folder: Path) -> dict[str, object]:
    """Returns the percentiles of each batch size, in one process of the C loader."""
    import loader
    import numpy as np
    import tensorflow as tf

    program = loader.build_loader(folder)
    if program is None:
        raise SystemExit("needs gcc")
    warmup = loader.read_warmup(version) if (version / loader.WARMUP).exists() else []
    batches = [np.array((TEXTS * size)[:size], object) for size in BATCH_SIZES]
    requests = [loader.Request("serving_default", {"text": batch}) for batch in batches]
    threads = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=arguments.intra, inter_op_parallelism_threads=arguments.inter
    )
    answers = loader.ask(
        program,
        version,
        [*warmup, *requests],
        libraries=loader.text_libraries(newest=False),
        folder=folder,
        repeats=arguments.repeats + 10,
        warmup=len(warmup),
        config=threads,
    )
    failed = [answer.error for answer in answers if answer.error]
    if failed:
        raise SystemExit(failed[0])
    asked = answers[len(warmup) :]
    found = {
        size: summarize(answer.milliseconds)
        for size, answer in zip(BATCH_SIZES, asked, strict=True)
    }
    return {"warmup_records": len(warmup), "batch": found}


def measure_peer(arguments, dtype: str) -> dict[str, object]:
    """Returns the same of PyTorch and of Hugging Face's `pipeline`, computing in `dtype`."""
    handed = [arguments.peer_model, arguments.intra or os.cpu_count(), arguments.repeats]
    handed += [TEXTS, BATCH_SIZES, dtype]
    command = [arguments.peer_python, "-c", PEER, json.dumps(handed)]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    answer = json.loads(result.stdout.splitlines()[-1])
    return {
        size: {name: summarize(times) for name, times in peers.items()}
        for size, peers in answer.items()
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--saved-model", type=Path, help="a version's folder")
    parser.add_argument("--quantize", choices=("int8", "float16", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--intra", type=int, default=2, help="threads inside an op; 0: all cores")
    parser.add_argument("--inter", type=int, default=2, help="ops at a time; 0: all cores")
    parser.add_argument("--peer-python", help="a Python with torch and transformers")
    parser.add_argument("--peer-model", help="the folder of a Hugging Face classifier")
    arguments = parser.parse_args()
    if (arguments.peer_python is None) != (arguments.peer_model is None):
        parser.error("--peer-python and --peer-model go together")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        version = arguments.saved_model or build_model(
            folder, "minilm_l6_en_uncased", quantize=arguments.quantize
        )
        result = {"intra": arguments.intra, "inter": arguments.inter}
        result["ours"] = measure_ours(version, arguments, folder)
        if arguments.peer_python:
            dtypes = ["float32", *(["bfloat16"] if arguments.quantize == "bfloat16" else [])]
            result["peers"] = {dtype: measure_peer(arguments, dtype) for dtype in dtypes}
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
