"""The arithmetic of docs/scaling.md, against a ring played step by step and a searched minimum."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
from scipy.optimize import minimize_scalar

_PATH = Path(__file__).parents[2] / "benchmarks" / "scaling_model.py"
_SPEC = importlib.util.spec_from_file_location("scaling_model", _PATH)
model = importlib.util.module_from_spec(_SPEC)
sys.modules[_SPEC.name] = model  # where dataclasses look for it
_SPEC.loader.exec_module(model)

LINK = model.Link(bytes_per_second=1e9, seconds=1e-4)


def play_ring(values, link, bytes_per_value):
    """Sums as a ring does: shares go round once to be added up and once to be told."""
    count = len(values)
    held = [list(own) for own in values]
    seconds = 0.0
    for turn in range(2 * (count - 1)):
        sent = [(i, (i - turn) % count) for i in range(count)]
        moved = {((i + 1) % count, share): held[i][share] for i, share in sent}
        for (to, share), value in moved.items():
            held[to][share] = held[to][share] + value if turn < count - 1 else value
        seconds += link.seconds + bytes_per_value / link.bytes_per_second
    return held, seconds


@pytest.mark.parametrize("count", [2, 3, 8])
def test_a_ring_takes_as_long_as_it_takes(count):
    values = [[10**i * (share + 1) for share in range(count)] for i in range(count)]
    held, seconds = play_ring(values, LINK, bytes_per_value=1e6)
    assert all(own == [sum(column) for column in zip(*values, strict=True)] for own in held)
    assert model.all_reduce_seconds(count * 1e6, count, LINK) == pytest.approx(seconds)


def test_one_process_sends_nothing():
    assert model.all_reduce_seconds(1e9, 1, LINK) == 0
    assert model.efficiency(0.1, 1e9, 1, LINK) == 1
    assert model.step_seconds(0.1, 1e6, 2, LINK) == pytest.approx(0.1 + 2 * (1e-4 + 5e-4))


@pytest.mark.parametrize(("save", "failure"), [(0.3, 180_000), (5, 3600)])
def test_young_s_interval_loses_least(save, failure):
    def lost(every):
        return save / every + every / 2 / failure

    best = minimize_scalar(lost, bounds=(save, failure), method="bounded", options={"xatol": 1e-3})
    assert model.seconds_between_checkpoints(save, failure) == pytest.approx(best.x, rel=1e-3)
    assert model.lost_share(save, failure) == pytest.approx(best.fun, rel=1e-6)
