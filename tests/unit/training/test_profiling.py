"""The profiler: from which step to which it records, and that it does."""

from __future__ import annotations

import pytest
import tensorflow as tf

from kerasft.training.callbacks.callback import BatchStats, StepResult
from kerasft.training.callbacks.profiler import ProfilerCallback

STATS = BatchStats(examples=1, tokens=1, positions=1)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs steps under a profiler that only writes down when it starts and stops."""

    def run(steps, *, start_step=0, total_steps=8, until=8):
        calls, told = [], []
        done = start_step
        profiler = tf.profiler.experimental
        monkeypatch.setattr(profiler, "start", lambda folder: calls.append(("start", done)))
        monkeypatch.setattr(profiler, "stop", lambda: calls.append(("stop", done)))
        events = ProfilerCallback(tmp_path, steps, told.append)
        events.on_start(start_step=start_step, total_steps=total_steps, steps_per_epoch=4)
        for done in range(start_step + 1, until + 1):
            events.on_step(StepResult(done, 1.0, 0.1, 1.0, 0.5, {}), STATS)
        events.close()
        return calls, told

    return run


@pytest.mark.parametrize(
    ("steps", "options", "calls"),
    [
        ("3-5", {}, [("start", 2), ("stop", 5)]),
        ("1-1", {}, [("start", 0), ("stop", 1)]),
        ("7-20", {}, [("start", 6), ("stop", 8)]),
        ("3-5", {"start_step": 4}, [("start", 4), ("stop", 5)]),
        ("3-5", {"start_step": 5}, []),
        ("3-5", {"until": 4}, [("start", 2), ("stop", 4)]),
    ],
)
def test_these_steps_are_recorded(run, steps, options, calls):
    assert run(steps, **options)[0] == calls


def test_a_run_that_is_too_short_says_so(run):
    calls, [told] = run("9-12")
    assert not calls
    assert 'the run has 8 steps, and training.profile_steps="9-12" begins later' in told


def test_a_profile_is_written_and_people_are_told_where(tmp_path):
    told = []
    events = ProfilerCallback(tmp_path, "1-2", told.append)
    events.on_start(start_step=0, total_steps=8, steps_per_epoch=4)
    tf.linalg.matmul(tf.ones([8, 8]), tf.ones([8, 8]))
    events.close()
    [path] = (tmp_path / "plugins" / "profile").rglob("*.xplane.pb")
    assert b"MatMul" in path.read_bytes()
    assert f"The profile is in {tmp_path}/plugins/profile." in told[0]
