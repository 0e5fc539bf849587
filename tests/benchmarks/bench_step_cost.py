"""What a step costs under each technique, against the plain step, in one run.

    python tests/benchmarks/bench_step_cost.py [--only lora r_drop]

Each technique of bench_techniques.py trains a few steps on the same batches, tracing left out; the
plain recipe is measured anew after every fourth, and each is compared with its neighbours. Beside
the speed stand what the optimizer keeps and how many weights are trained. Prints JSON lines. Keep
the machine quiet.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench_techniques import PLAIN, SETTINGS, TECHNIQUES

RECIPE = "imdb_quick"
_TRACED, _TIMED = 3, 10


def measure(overrides: dict[str, object]) -> dict[str, float]:
    """Trains a few steps; returns milliseconds of one, and what is kept for it."""
    from kerasft.recipe import load_recipe
    from kerasft.runs.context import load_context
    from kerasft.runs.train import build_trained_model
    from kerasft.runs.training_data import training_data
    from kerasft.training.loop.loop import train_steps

    recipe = load_recipe(RECIPE, SETTINGS[RECIPE] | overrides | {"data.test_splits": ()})
    context = load_context(recipe)
    model = build_trained_model(context)
    batches = training_data(context, model).batches(0).take(_TRACED + _TIMED)
    seconds = [step.seconds for step in train_steps(model, context.strategy, batches, start_step=0)]
    kept = [variable.value for variable in model.optimizer.variables]
    result = {
        "step_ms": 1000 * statistics.median(seconds[_TRACED:]),
        "optimizer_mb": sum(v.shape.num_elements() * v.dtype.size for v in kept) / 1e6,
        "trained_weights": sum(v.shape.num_elements() for v in model.trainable_variables),
    }
    del model, context
    gc.collect()
    return result


def main() -> None:
    """Measures the techniques and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=TECHNIQUES, metavar="NAME")
    arguments = parser.parse_args()
    names = [name for name in arguments.only or TECHNIQUES if name != PLAIN]
    before = measure({})
    for start in range(0, len(names), 4):
        group = {name: measure(TECHNIQUES[name]) for name in names[start : start + 4]}
        after = measure({})
        plain_ms = (before["step_ms"] + after["step_ms"]) / 2
        for name, figures in {PLAIN: after, **group}.items():
            speed = plain_ms / figures["step_ms"]
            line = {"technique": name, "speed": round(speed, 2), **figures}
            sys.stdout.write(f"{json.dumps(line)}\n")
            sys.stdout.flush()
        before = after


if __name__ == "__main__":
    main()
