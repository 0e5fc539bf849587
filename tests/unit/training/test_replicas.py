"""One, two and four devices end with the same numbers, all that needs no chance turned on."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.distribution.strategy import build_strategy, sum_over_replicas
from kerasft.training.step.fine_tuner import FineTuner

SCRIPT = Path(__file__).with_name("replicas.py")
ADAPTERS = ("none", "lora", "bitfit", "houlsby")


class ClipsBeforeSumming(FineTuner):
    """Each replica divides, clips, and then all are added up: Keras's order."""

    def train_step(self, data):
        batch = self._unpack(data)
        part = self._accumulate(batch)
        weight, loss_sum = sum_over_replicas((tf.reduce_sum(batch[2]), part.loss_sum))
        gradients, norms = self._average_and_clip(list(part.gradients), 1 / weight)
        self._apply(sum_over_replicas(gradients))
        logs = self._count(data, part.logits, loss=loss_sum / weight, weight=weight)
        return logs | {"batch_loss": loss_sum / weight, **norms}


@pytest.fixture(scope="module")
def train(tools):
    train = runpy.run_path(str(SCRIPT))["train"]
    return lambda name, *arguments, **options: train(
        tools, build_strategy(name), *arguments, **options
    )


@pytest.fixture(scope="module")
def runs(train, tmp_path_factory):
    """What a training shows, by number of devices and adapter."""
    path = tmp_path_factory.mktemp("four") / "four.npz"
    command = [sys.executable, str(SCRIPT), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    found = {}
    for adapter in ADAPTERS:
        found[1, adapter] = train("one_device", adapter)
        found[2, adapter] = train("mirrored", adapter)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode()
    arrays = np.load(path)
    for adapter in ADAPTERS:
        own = [name for name in arrays if name.startswith(f"{adapter}/")]
        found[4, adapter] = {name.removeprefix(f"{adapter}/"): arrays[name] for name in own}
    return found


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("replicas", [2, 4])
def test_as_one_device(runs, replicas, adapter):
    ours, one = runs[replicas, adapter], runs[1, adapter]
    assert ours.keys() == one.keys()
    assert len(one) > 5 + 2 * 6
    for name, expected in one.items():
        np.testing.assert_allclose(ours[name], expected, rtol=2e-5, atol=1e-5, err_msg=name)
    assert one["gradient_norm"].min() > 0.1  # twice the norm at which it is clipped


def test_what_is_compared_moves(runs):
    for adapter in ADAPTERS:
        one = runs[1, adapter]
        weights = {name for name in one if name.startswith("weight:")}
        averages = {name.replace("weight:", "ema:") for name in weights}
        assert averages <= one.keys()
        assert farthest(one, {n: one[n.replace("weight:", "ema:")] for n in weights}) > 1e-3
    assert any("lora_b" in name for name in runs[4, "lora"])


def test_control_clipping_before_adding_up_differs(runs, train):
    clipped = train("mirrored", kind=ClipsBeforeSumming)
    assert farthest(runs[1, "none"], clipped) > 1e-3


def farthest(ours, theirs):
    """The largest difference of any weight of `theirs`."""
    return max(np.abs(ours[n] - theirs[n]).max() for n in theirs if n.startswith("weight:"))
