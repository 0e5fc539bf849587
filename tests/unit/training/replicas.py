"""What `test_replicas.py` trains, in its own process on one and two devices, in another on four.

    python tests/unit/training/replicas.py OUT.npz

trains on four logical CPUs, of which a process must have made as many before it uses any.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

CLIPNORM, REPLICAS = 0.05, 4
# Of 8, 8 and 5 texts: the last batch fills no number of replicas.
ROWS = (8, 8, 5)
ADAPTERS = {
    "none": None,
    "lora": {"method": "lora", "matrices": ("query", "output", "feedforward"), "rank": 2},
    "bitfit": {"method": "bitfit"},
    "houlsby": {"method": "houlsby", "bottleneck_dim": 4},
}


def make_batches(tools, replicas):
    """Makes three batches whose examples weigh as their classes do."""
    batches = []
    for number, rows in enumerate(ROWS):
        inputs, labels, weights = tools.make_batch(
            rows, seed=number, length=8 * (number + 1), filler=-rows % replicas
        )
        batches.append((inputs, labels, weights * np.where(labels == 1, 2.5, 0.5).astype("f4")))
    return batches


def build(tools, adapter, **options):
    """Builds a model with clipping, a batch in two parts and a moving average."""
    from kerasft.models.adapters.adapter import add_adapter
    from kerasft.models.encoder import Encoder
    from kerasft.training.step.optimizer import build_optimizer
    from kerasft.training.step.schedule import WarmupDecay

    def backbone():
        made = tools.build_backbone(0.0)
        if ADAPTERS[adapter]:
            add_adapter(Encoder(made), **ADAPTERS[adapter])
        return made

    # The bias of a key has no gradient but noise, which a small epsilon would make steps of.
    rate = WarmupDecay(0.01, warmup_steps=0, total_steps=6)
    optimizer = build_optimizer("adamw", rate, weight_decay=0.1, ema_decay=0.8, epsilon=1e-4)
    options = {"global_clipnorm": CLIPNORM, "accumulation_steps": 2, **options}
    return tools.build_tuner(optimizer, backbone=backbone, **options)


def train(tools, strategy, adapter="none", **options):
    """Returns all that a training shows, by name: what a step tells, metrics, weights, averages."""
    from kerasft.training.loop.loop import train_steps
    from kerasft.training.step.averaging import counted_weights

    with strategy.scope():
        model = build(tools, adapter, **options)
    batches = make_batches(tools, strategy.num_replicas_in_sync)
    steps = list(train_steps(model, strategy, tools.make_dataset(batches), start_step=0))
    found = {
        "loss": [step.loss for step in steps],
        "gradient_norm": [step.gradient_norm for step in steps],
        "learning_rate": [step.learning_rate for step in steps],
        "running_loss": [step.running["loss"] for step in steps],
        "running_accuracy": [step.running["accuracy"] for step in steps],
    }
    for kind, entered in (("weight", contextlib.nullcontext()), ("ema", counted_weights(model))):
        with entered:
            found |= {f"{kind}:{v.path}": v.numpy() for v in model.trainable_variables}
    return {name: np.asarray(value) for name, value in found.items()}


def main() -> None:
    """Trains on four devices, without an adapter and with each."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    devices = [tf.config.LogicalDeviceConfiguration()] * REPLICAS
    tf.config.set_logical_device_configuration(cpu, devices)
    tools = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["Toolbox"]
    strategy = tools.mirrored()
    if strategy.num_replicas_in_sync != REPLICAS:
        raise RuntimeError(f"{strategy.num_replicas_in_sync} replicas")
    arrays = {
        f"{adapter}/{name}": value
        for adapter in ADAPTERS
        for name, value in train(tools, strategy, adapter).items()
    }
    np.savez(sys.argv[1], **arrays)


if __name__ == "__main__":
    main()
