"""How the cost of a training step grows: with the length of texts, the batch, the model's size.

    python tests/benchmarks/bench_growth.py [--dtype mixed_bfloat16] [--repeats 5]
        [--plot docs/growth.png]

Encoders with random weights take AdamW steps, dropout 0.1, on random tokens, batches without
padding; the plain step is that of the default encoder's size, 32 texts of 64 tokens. One thing is
changed at a time. Of each the best of some steps counts, the first two left out, in which
TensorFlow traces. `step_ms` is a step; `text_ms` is what a text costs of it. Prints one JSON
object. Takes about five minutes; keep the machine quiet.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from pathlib import Path
from typing import NamedTuple

from random_model import build_model, make_batch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
_TRACED = 2


class Point(NamedTuple):
    """What a step is made of."""

    tokens: int = 64
    batch_size: int = 32
    layers: int = 6
    width: int = 384


POINTS = {
    "tokens of a text": [Point(tokens=n) for n in (8, 16, 32, 64, 128, 256, 512)],
    "texts of a batch": [Point(batch_size=n) for n in (2, 4, 8, 16, 32, 64, 128)],
    "weights of the model": [
        Point(batch_size=8, layers=layers, width=width)
        for layers, width in ((2, 128), (4, 256), (6, 384), (12, 384), (12, 768))
    ],
}


def measure(point: Point, *, dtype: str, repeats: int) -> dict[str, float]:
    """Returns what a step takes, and how many weights the model has."""
    import tensorflow as tf

    model = build_model(dtype=dtype, layers=point.layers, width=point.width)
    batch = make_batch([point.tokens] * point.batch_size)
    step = tf.function(model.train_step, autograph=False)
    seconds = []
    for _ in range(_TRACED + repeats):
        start = time.perf_counter()
        float(step(batch)["batch_loss"])
        seconds.append(time.perf_counter() - start)
    milliseconds = 1000 * min(seconds[_TRACED:])
    return {
        "weights": model.encoder.backbone.count_params(),
        "step_ms": round(milliseconds, 1),
        "text_ms": round(milliseconds / point.batch_size, 2),
    }


def plot(found: dict[str, list[dict[str, float]]], title: str) -> bytes:
    """Draws what a text costs against each of what was changed, both axes logarithmic."""
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    from kerasft.evaluation.figures import BLUE, new_figure, to_png

    with new_figure("", inches=(12.0, 4.2)) as (figure, whole):
        whole.remove()
        figure.suptitle(title, x=0.01, ha="left")
        for number, (what, rows) in enumerate(found.items(), start=1):
            axes = figure.add_subplot(1, len(found), number)
            changed = [row["changed"] for row in rows]
            in_millions = min(changed) > 1e6
            changed = [round(value / 1e6) for value in changed] if in_millions else changed
            axes.loglog(changed, [row["text_ms"] for row in rows], "o-", color=BLUE)
            axes.set_xticks(changed)
            axes.set_yticks([5, 10, 20, 50, 100, 200])
            axes.set_ylim(3, 260)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(ScalarFormatter())
                axis.set_minor_formatter(NullFormatter())
            axes.set_xlabel(f"{what}, millions" if in_millions else what)
            axes.grid(visible=True, color="#e6e8ec", linewidth=0.8)
            axes.set_ylabel("milliseconds a text")
        return to_png(figure)


def main() -> None:
    """Measures point by point, prints and draws."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--dtype", default="mixed_bfloat16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="where the figure is written, as PNG")
    arguments = parser.parse_args()
    from kerasft.training.loop.memory import keep_freed_memory

    keep_freed_memory()
    found: dict[str, list[dict[str, float]]] = {}
    for what, points in POINTS.items():
        for point in points:
            figures = measure(point, dtype=arguments.dtype, repeats=arguments.repeats)
            gc.collect()
            changed = {"tokens of a text": point.tokens, "texts of a batch": point.batch_size}
            row = {"changed": changed.get(what, figures["weights"]), **point._asdict(), **figures}
            found.setdefault(what, []).append(row)
    if arguments.plot:
        arguments.plot.write_bytes(plot(found, "What a text costs in training"))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
