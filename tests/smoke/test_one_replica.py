"""One replica is one replica: three strategies end with the same checkpoint, bit for bit."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kerasft.training.checkpoints.checkpoint import read_checkpoint
from kerasft.training.distribution.launch import free_ports, tf_config

pytestmark = pytest.mark.slow

SETTINGS = (
    *("model.preset=tiny_random", "model.sequence_length=32", "training.epochs=2"),
    *("training.batch_size=8", "evaluation.bootstrap_resamples=10", "logging.plots=false"),
    "export.enabled=false",
)
SEVERAL_LABELS = ("red|big", "blue", "big", "blue|red", "red")
STRATEGIES = ("one_device", "multi_worker", "mirrored")


def train(folder, strategy, *arguments):
    """Trains in a process of its own, where TensorFlow has one device; returns two checkpoints."""
    environment = dict(os.environ)
    if strategy == "multi_worker":
        addresses = [f"127.0.0.1:{port}" for port in free_ports(1)]
        environment["TF_CONFIG"] = tf_config(addresses, 0)
    command = [sys.executable, "-m", "kerasft.pipelines.classify", "--json", *SETTINGS, *arguments]
    done = subprocess.run(
        [*command, f"training.strategy={strategy}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    run_dir = folder / json.loads(done.stdout)["run_dir"]
    earlier, last = sorted((run_dir / "checkpoints").glob("step-*"))
    return read_checkpoint(earlier)[1], read_checkpoint(last)[1]


def same(first, second):
    return first.keys() == second.keys() and all(
        first[name].tobytes() == second[name].tobytes() for name in first
    )


def write(folder, labels):
    rows = [f"a film of the sort {i} and {labels[i % len(labels)]}" for i in range(60)]
    lines = [f"{row},{labels[i % len(labels)]}" for i, row in enumerate(rows)]
    (folder / "train.csv").write_text("\n".join(["text,label", *lines]))


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "num_strategies"), [("single", 3), ("multi", 2)])
def test_three_strategies(tmp_path, kind, num_strategies):
    write(tmp_path, ("neg", "pos") if kind == "single" else SEVERAL_LABELS)
    files = ("--train", "train.csv", "--label-kind", kind)
    found = [train(tmp_path, strategy, *files) for strategy in STRATEGIES[:num_strategies]]
    (earlier, first), *others = found
    assert [same(first, last) for _, last in others] == [True] * (num_strategies - 1)
    assert any("lazy_counts" in name for name in first)  # rows are updated as they are read
    assert not same(first, earlier)  # the control
