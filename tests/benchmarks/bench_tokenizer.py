"""Tokenizer speed on IMDB: ours against its parts alone, Hugging Face and KerasHub, in one run.

    python tests/benchmarks/bench_tokenizer.py [--num-texts 5000] [--rounds 5]

All tokenize the same whole texts, in batches of 1,024; rounds take turns, the best of each counts.
Prints one JSON object. The ratios hold from machine to machine; the figures hold on a quiet one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import keras_hub
import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
import tokenizers

from kerasft.data.sources.source import load_source
from kerasft.models.presets import DEFAULT_PRESET, find_preset
from kerasft.text.wordpiece import WordPiecePreprocessor

BATCH_SIZE = 1024
UNTRUNCATED = 1_000_000


def load_texts(num_texts: int) -> list[bytes]:
    examples = itertools.islice(load_source("imdb_reviews").iterate("test"), num_texts)
    return [example.text for example in examples]


def in_dataset(texts: list[bytes], tokenize: Callable) -> Callable[[], int]:
    """Returns a function that tokenizes all texts through `tf.data` and counts the tokens."""
    batches = tf.data.Dataset.from_tensor_slices(texts).batch(BATCH_SIZE)
    dataset = batches.map(
        lambda text: tf.size(tokenize(text).flat_values), num_parallel_calls=tf.data.AUTOTUNE
    )
    return lambda: int(sum(dataset.as_numpy_iterator()))


def build_contenders(texts: list[bytes], folder: Path) -> dict[str, Callable[[], int]]:
    """Returns for each contender a function that tokenizes all texts and counts the tokens."""
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    settings = {"sequence_length": UNTRUNCATED, "break_tags": "keep"}
    ours = WordPiecePreprocessor(vocabulary, **settings)
    normalizer = tf_text.FastBertNormalizer(lower_case_nfd_strip_accents=True)
    tokenizer = tf_text.FastWordpieceTokenizer(vocabulary, token_out_type=tf.int32)
    kerashub = keras_hub.models.BertTokenizer(vocabulary, lowercase=True, strip_accents=True)
    reference = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    strings = [text.decode() for text in texts]

    def hugging_face() -> int:
        starts = range(0, len(strings), BATCH_SIZE)
        batches = (reference.encode_batch(strings[i : i + BATCH_SIZE]) for i in starts)
        return sum(len(encoding.ids) for batch in batches for encoding in batch)

    return {
        "kerasft": in_dataset(texts, lambda text: ours.tokenize(text)[0]),
        "tf_text_alone": in_dataset(
            texts, lambda text: tokenizer.tokenize(normalizer.normalize(text))
        ),
        "hugging_face": hugging_face,
        "keras_hub": in_dataset(texts, kerashub),
    }


def best_seconds(contenders: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    seconds = dict.fromkeys(contenders, np.inf)
    for _ in range(rounds):
        for name, tokenize in contenders.items():
            start = time.perf_counter()
            tokenize()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--num-texts", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    texts = load_texts(arguments.num_texts)
    contenders = build_contenders(texts, Path(find_preset(DEFAULT_PRESET)))
    num_tokens = {name: tokenize() for name, tokenize in contenders.items()}  # warm-up, too
    seconds = best_seconds(contenders, arguments.rounds)
    report = {
        "num_texts": len(texts),
        "cpus": len(os.sched_getaffinity(0)),
        "num_tokens": num_tokens,
        "seconds": {name: round(value, 4) for name, value in seconds.items()},
        "tokens_per_second": {name: round(num_tokens[name] / seconds[name]) for name in seconds},
        "times_as_fast_as": {
            name: round(seconds[name] / seconds["kerasft"], 2) for name in seconds
        },
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
