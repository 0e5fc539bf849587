"""A file of texts: `kerasft predict` with and without sorting, against Hugging Face's `pipeline`.

    python tests/benchmarks/bench_predict.py [--saved-model saved_models/imdb/3] [--texts 5000]
        [--quantize bfloat16] [--rounds 3] [--peer-python PYTHON --peer-model FOLDER]

Reviews of IMDB's test split in their order, cut at 256 tokens. Without `--saved-model` the default
encoder is exported with an untrained head, as `--quantize` of `kerasft export` has it. `sorted` is
what `kerasft predict -` does; `unsorted` sends batches of 32 through the same signature as they
come. The peer's `pipeline` reads the same texts, cut at 256 tokens, in batches of each size of
`--peer-batch-sizes`, computing in `--peer-dtype`; the best of them counts. All take turns.
Prints one JSON object: texts a second, round by round, and the ratios of the medians. Keep the
machine quiet.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from serving_process import build_model

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SEQUENCE_LENGTH, BATCH_SIZE = 256, 32

PEER = """
import json, sys, time
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
folder, path, size, length, dtype = json.loads(sys.argv[1])
texts = [json.loads(line) for line in open(path, encoding="utf-8")]
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
model = model.to(getattr(torch, dtype))
classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
cut = {"truncation": True, "max_length": length}
classify(texts[:size], batch_size=size, **cut)
start = time.perf_counter()
answers = classify(texts, batch_size=size, **cut)
print(len(answers) / (time.perf_counter() - start))
"""


def write_texts(path: Path, num_texts: int) -> list[str]:
    """Writes the first reviews of the test split, a JSON string a line."""
    from kerasft.data.sources.source import load_source

    examples = itertools.islice(load_source("imdb_reviews").iterate("test"), num_texts)
    texts = [example.text.decode() for example in examples]
    path.write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    return texts


def measure_ours(predictor, texts: list[str], *, in_order: bool) -> float:
    """Returns texts a second."""
    starts = range(0, len(texts), BATCH_SIZE)
    start = time.perf_counter()
    if in_order:
        answers = [
            answer
            for first in starts
            for answer in predictor.predict(texts[first : first + BATCH_SIZE])
        ]
    else:
        answers = predictor.predict(texts)
    return len(answers) / (time.perf_counter() - start)


def measure_peer(arguments, path: Path, size: int) -> float:
    """Returns texts a second of the `pipeline`, in a process of its own."""
    handed = [arguments.peer_model, str(path), size, SEQUENCE_LENGTH, arguments.peer_dtype]
    command = [arguments.peer_python, "-c", PEER, json.dumps(handed)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures in turn and prints."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--saved-model", type=Path, help="a version's folder")
    parser.add_argument("--quantize", choices=("int8", "float16", "bfloat16"))
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-python", help="a Python with torch and transformers")
    parser.add_argument("--peer-model", help="the folder of a Hugging Face model of the same size")
    parser.add_argument("--peer-batch-sizes", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--peer-dtype", choices=("float32", "bfloat16"), default="float32")
    arguments = parser.parse_args()
    if (arguments.peer_python is None) != (arguments.peer_model is None):
        parser.error("--peer-python and --peer-model go together")
    from kerasft.serving.predictor import load_predictor

    sizes = arguments.peer_batch_sizes if arguments.peer_python else ()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = write_texts(folder / "texts.jsonl", arguments.texts)
        version = arguments.saved_model or build_model(
            folder, "minilm_l6_en_uncased", quantize=arguments.quantize
        )
        predictor = load_predictor(version)
        predictor.predict(texts[:BATCH_SIZE])
        for _ in range(arguments.rounds):
            for way in ("sorted", "unsorted"):
                rate = measure_ours(predictor, texts, in_order=way == "unsorted")
                found.setdefault(way, []).append(rate)
            for size in sizes:
                rate = measure_peer(arguments, folder / "texts.jsonl", size)
                found.setdefault(f"pipeline, batches of {size}", []).append(rate)
            sys.stderr.write(json.dumps(found) + "\n")
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    result = {"texts_per_second": found}
    result["sorted_to_unsorted"] = medians["sorted"] / medians["unsorted"]
    if sizes:
        best = max(rate for name, rate in medians.items() if name.startswith("pipeline"))
        result["sorted_to_peer"] = medians["sorted"] / best
    print(json.dumps(result))


if __name__ == "__main__":
    main()
