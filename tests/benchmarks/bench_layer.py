"""A training step with our transformer layer, against the same step with KerasHub's.

    python tests/benchmarks/bench_layer.py [--lengths 16 64 256] [--pairs 3]

Both train the default encoder with dropout 0.1 on the same batch of random tokens, in turn and in
one process; the layers' weights are the same objects. Prints one JSON object: milliseconds of each
and the ratio of their medians. Keep the machine quiet.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import statistics
import time
from collections.abc import Iterator
from unittest import mock

from random_model import build_default_model, make_batch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_TRACED, _TIMED, _BATCH_SIZE = 2, 5, 32


@contextlib.contextmanager
def keras_hub_layers(encoder) -> Iterator[None]:
    """Lets the encoder run KerasHub's own layers while it is entered."""
    import keras

    def run_layer(layer, hidden, context, training):
        return layer(
            hidden,
            padding_mask=context.padding_mask,
            attention_mask=context.attention_mask,
            training=training,
        )

    def normalize(layer, inputs):
        return layer(inputs)

    def drop(layer, inputs, training):
        return layer(inputs, training=training)

    def exact_gelu(features):
        return keras.activations.gelu(features, approximate=False)

    layer_map = encoder.layer_map
    layers = [block.linears["up"].layer for block in layer_map.blocks]
    ours = [layer.activation for layer in layers]
    for layer in layers:
        layer.activation = exact_gelu
    blocks = tuple(
        dataclasses.replace(block, run=functools.partial(run_layer, *block.layers))
        for block in layer_map.blocks
    )
    encoder.layer_map = dataclasses.replace(layer_map, blocks=blocks)
    try:
        with mock.patch.multiple("kerasft.models.embeddings", normalize=normalize, drop=drop):
            yield
    finally:
        encoder.layer_map = layer_map
        for layer, activation in zip(layers, ours, strict=True):
            layer.activation = activation


def measure(length: int, pairs: int) -> dict[str, list[float]]:
    """Returns the median milliseconds of a step, pair by pair."""
    import tensorflow as tf

    model = build_default_model()
    batch = make_batch([length] * _BATCH_SIZE)

    def median_ms(step) -> float:
        seconds = []
        for _ in range(_TRACED + _TIMED):
            start = time.perf_counter()
            step(batch)["batch_loss"].numpy()
            seconds.append(time.perf_counter() - start)
        return 1000 * statistics.median(seconds[_TRACED:])

    def build_step():
        return tf.function(lambda data: model.train_step(data), reduce_retracing=True)

    steps = {"kerasft": build_step(), "keras_hub": build_step()}
    with keras_hub_layers(model.encoder):
        steps["keras_hub"](batch)  # traced here, and the graph stays what it is
    found = {name: [] for name in steps}
    for _ in range(pairs):
        for name, step in steps.items():
            found[name].append(median_ms(step))
    return found


def main() -> None:
    """Measures length by length and prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--pairs", type=int, default=3)
    arguments = parser.parse_args()
    report = {}
    for length in arguments.lengths:
        found = measure(length, arguments.pairs)
        ratio = statistics.median(found["keras_hub"]) / statistics.median(found["kerasft"])
        report[length] = {"step_ms": found, "ratio": round(ratio, 2)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
