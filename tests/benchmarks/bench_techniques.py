"""Techniques of fine-tuning against the plain recipe: what each brings.

    python tests/benchmarks/bench_techniques.py --output techniques.json
    python tests/benchmarks/bench_techniques.py --recipe glue_rte --only plain lora ema

Each technique is the plain recipe with a few settings changed, run with the same seeds: the same
training examples, the same test examples, so that the difference is taken seed by seed. The figures
are written after every run, and what stands in the file is not run again. With `--table` the file
is printed as the table of docs/techniques.md and nothing is run. What a technique costs is measured
by bench_step_cost.py.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PLAIN = "plain"
# 1,000 reviews of 128 tokens.
SETTINGS = {
    "imdb_quick": {
        "data.train_examples": 1000,
        "data.test_examples": 1000,
        "model.sequence_length": 128,
        "model.dropout": 0.1,
        "model.head_dropout": 0.1,
        "training.epochs": 2.0,
        "training.batch_size": 16,
        "training.learning_rate": 1e-4,
        "training.warmup_fraction": 0.1,
    },
    "glue_rte": {"training.learning_rate": 1e-4, "model.dropout": 0.1, "training.epochs": 2.0},
}
TECHNIQUES = {
    PLAIN: {},
    "rate_2e-4": {"training.learning_rate": 2e-4},
    "no_dropout": {"model.dropout": 0.0, "model.head_dropout": 0.0},
    "longer": {"training.epochs": 4.0},
    "layer_decay": {"training.layer_decay": 0.8},
    "head_rate": {"training.head_learning_rate": 1e-3},
    "freeze_embeddings": {"freezing.embeddings": True},
    "freeze_lowest_3": {"freezing.lowest_layers": 3},
    "features": {
        "training.mode": "features",
        "training.epochs": 20.0,
        "training.learning_rate": 1e-2,
    },
    "gradual_unfreezing": {"training.unfreeze_every_epochs": 0.25},
    "reinitialize_1": {"regularization.reinitialize_layers": 1},
    "ema": {"training.ema_decay": 0.98},
    "soup": {"training.average_checkpoints": 3, "training.evaluate_every_epochs": 0.5},
    "l2_sp": {"regularization.l2_sp": 0.01},
    "stochastic_depth": {"regularization.stochastic_depth": 0.1},
    "label_smoothing": {"training.label_smoothing": 0.1},
    "mixup": {"regularization.mixup_alpha": 0.2},
    "r_drop": {"regularization.r_drop": 1.0},
    "adversarial": {"regularization.adversarial_epsilon": 0.2},
    "adversarial_1": {"regularization.adversarial_epsilon": 1.0},
    "word_dropout": {"augmentation.word_dropout": 0.1},
    "deletion": {"augmentation.deletion": 0.1},
    "lora": {"adapter.method": "lora", "training.learning_rate": 1e-3},
    "bitfit": {"adapter.method": "bitfit", "training.learning_rate": 2e-3},
    "houlsby": {"adapter.method": "houlsby", "training.learning_rate": 1e-3},
}


def run_once(recipe_name: str, overrides: dict[str, object], folder: str) -> dict[str, float]:
    """Runs a recipe; returns its headline on the test, in percent."""
    from kerasft.recipe import load_recipe
    from kerasft.runs import train

    recipe = load_recipe(recipe_name, overrides | {"export.enabled": False})
    run = train.run(recipe, runs_folder=folder)
    gc.collect()
    return {"accuracy": round(100 * run.metrics["test/accuracy"], 4)}


def run_all(arguments, found: dict[str, dict[str, dict[str, float]]]) -> None:
    """Runs what is not in `found` yet, technique after technique, and writes it each time."""
    for name in arguments.only or TECHNIQUES:
        for seed in arguments.seeds:
            if str(seed) in found.setdefault(name, {}):
                continue
            plain = SETTINGS.get(arguments.recipe, {}) | {"training.seed": seed}
            with tempfile.TemporaryDirectory() as folder:
                result = run_once(arguments.recipe, plain | TECHNIQUES[name], folder)
            found[name][str(seed)] = result
            sys.stderr.write(f"{name}, seed {seed}: {json.dumps(result)}\n")
            arguments.output.write_text(json.dumps(found, indent=1), encoding="utf-8")


def table(found: dict[str, dict[str, dict[str, float]]]) -> str:
    """Returns the table: accuracy, and its difference from the plain recipe seed by seed."""
    lines = [
        "| technique | accuracy | against plain, seed by seed |",
        "| --- | --- | --- |",
    ]
    plain = found[PLAIN]
    for name, runs in found.items():
        seeds = [seed for seed in runs if seed in plain]
        accuracy = [runs[seed]["accuracy"] for seed in seeds]
        gains = [runs[seed]["accuracy"] - plain[seed]["accuracy"] for seed in seeds]
        gain = "" if name == PLAIN else _spread(gains, "+")
        lines.append(f"| {name} | {_spread(accuracy)} | {gain} |")
    return "\n".join(lines)


def _spread(values: list[float], sign: str = "") -> str:
    deviation = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.1f}{deviation}"


def main() -> None:
    """Runs the techniques and prints their table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--recipe", default="imdb_quick")
    parser.add_argument("--only", nargs="+", choices=TECHNIQUES, metavar="NAME")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--output", type=Path, default=Path("techniques.json"))
    parser.add_argument("--table", action="store_true", help="print what was measured, run nothing")
    arguments = parser.parse_args()
    found = json.loads(arguments.output.read_text()) if arguments.output.exists() else {}
    if not arguments.table:
        run_all(arguments, found)
    sys.stdout.write(f"{table(found)}\n")


if __name__ == "__main__":
    main()
