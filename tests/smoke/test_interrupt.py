"""The real command is interrupted, killed and resumed, and ends where the undisturbed run ends.

That another seed ends elsewhere, in all that is compared, is shown by `test_accidents.py`.
"""

from __future__ import annotations

import re
import signal

import pytest

from kerasft.pipelines import imdb

pytestmark = pytest.mark.slow

STEPS, CHECKPOINT_EVERY, PATIENCE_SECONDS = 120, 25, 120
SETTINGS = {
    "data.train_examples": 320,  # 20 steps an epoch: six epochs and evaluations
    "data.test_examples": 80,
    "model.sequence_length": 32,
    "training.steps": STEPS,
    "training.batch_size": 16,
    "training.checkpoint_every_steps": CHECKPOINT_EVERY,
    "evaluation.bootstrap_resamples": 20,
    "export.verify": False,
}


def overrides(**more):
    return [f"{name}={str(value).lower()}" for name, value in {**SETTINGS, **more}.items()]


def send_after(place, process, step, number):
    """Sends a signal when so many steps are in the history; returns the exit code."""
    try:
        place.wait_until(lambda: steps_done(place) >= step, process)
        process.send_signal(number)
        return process.wait(PATIENCE_SECONDS)
    finally:
        process.kill()


def steps_done(place) -> int:
    histories = list(place.folder.glob("runs/*/history.csv"))
    return histories[0].read_bytes().count(b"\n") - 1 if histories else 0


@pytest.fixture(scope="module")
def undisturbed(make_place, results):
    place = make_place("undisturbed")
    run_dir = place.run_to_the_end(*overrides())
    return place, run_dir, results(run_dir)


@pytest.mark.timeout(1200)  # five processes, on a machine that is perhaps at work
def test_stopped_in_four_ways_it_ends_as_the_undisturbed(
    make_place, undisturbed, results, differing
):
    """One after the other, since each process costs seconds before it does anything."""
    place = make_place("stopped")
    # Killed before there is a checkpoint: it begins anew, in the same folder.
    process = place.start(*overrides())
    place.wait_until(lambda: any(place.folder.glob("runs/*/recipe.toml")), process)
    process.kill()
    process.wait(PATIENCE_SECONDS)
    run_dir = place.run_dir
    assert not list(run_dir.checkpoints_folder.glob("step-*"))

    # Ctrl-C.
    code = send_after(place, place.start("--resume"), 30, signal.SIGINT)
    output = place.output
    assert code == 130, output
    assert "Traceback" not in output
    step = int(re.search(r"Interrupted after step (\d+)\.", output)[1])
    assert 30 <= step < 60
    assert (run_dir.checkpoints_folder / f"step-{step:08d}").is_dir()
    assert not run_dir.metrics_path.exists()

    # The command that it prints, told to end.
    command = re.search(r"^Go on from there: (.+)$", output, re.MULTILINE)[1]
    code = send_after(place, place.start_line(command), 60, signal.SIGTERM)
    assert code == 143, place.output
    assert f"after step {step}." in place.output
    assert re.search(r"Preempted after step \d+\.", place.output)

    # Killed: what was done since the latest checkpoint is done again.
    code = send_after(place, place.start("--resume"), 3 * CHECKPOINT_EVERY + 10, signal.SIGKILL)
    assert code == -signal.SIGKILL
    saved = max(int(path.name[5:]) for path in run_dir.checkpoints_folder.glob("step-*"))
    assert saved < steps_done(place) < STEPS
    assert place.run_to_the_end("--resume") == run_dir
    assert f"after step {saved}." in place.output
    assert differing(results(run_dir), undisturbed[2]) == []


# --- what cannot be resumed


def test_a_finished_run_is_2(undisturbed, command_at):
    place, run_dir, _ = undisturbed
    before = run_dir.metrics_path.read_bytes()
    code, told = command_at(place, imdb, "--resume", str(run_dir.path))
    assert code == 2
    assert "is finished: there is nothing to resume." in told
    assert run_dir.metrics_path.read_bytes() == before


def test_a_run_directory_in_use_is_2(undisturbed, command_at):
    place, run_dir, _ = undisturbed
    with run_dir.lock():
        code, told = command_at(place, imdb, "--resume", str(run_dir.path))
    assert code == 2
    assert "is in use by another run. Received: 'process " in told
