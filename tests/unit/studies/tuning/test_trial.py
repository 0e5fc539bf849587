"""Trials as processes: what they are started with, how they end, and what is kept of them.

The processes are small scripts; a whole run is in tests/smoke/test_tune.py.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs.resume import OTHER_DATA
from kerasft.studies.tuning.job import STDERR, TRIAL_SETTINGS, Job, Trials
from kerasft.studies.tuning.journal import JobResult
from kerasft.studies.tuning.searching import Search

FINISHES = """
import json, os, pathlib, sys
print("progress", file=sys.stderr)
run = pathlib.Path(sys.argv[1]) / "run-20260101-000000"
run.mkdir(parents=True, exist_ok=True)
(run / "recipe.toml").write_text(os.environ["RECIPE"])
result = {"metrics": {"validation/accuracy": 0.75}, "task": {"headline": "accuracy"}}
(run / "metrics.json").write_text(json.dumps(result))
"""
WAITS = """
import os, pathlib, signal, sys, time
def stop(*_):
    pathlib.Path(sys.argv[1], "saved").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
run = pathlib.Path(sys.argv[1]) / "run-20260101-000000"
run.mkdir(parents=True, exist_ok=True)
(run / "recipe.toml").write_text(os.environ["RECIPE"])
time.sleep(60)
"""
RECIPE = load_recipe("glue_mrpc").to_toml()


class Scripts(Trials):
    """Runs a script in place of `kerasft run`."""

    script = FINISHES

    def command(self, job):
        return [sys.executable, "-c", self.script, str(job.folder.path)]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a job by a script."""
    monkeypatch.setenv("RECIPE", RECIPE)

    def run(script, job=None, *, check=lambda: None, grace=5.0, **more):
        trials = Scripts(["glue_mrpc"], poll_seconds=0.01, grace=grace)
        trials.script = script
        return trials.run(job or make_job(tmp_path), slot=0, check=check, **more)

    return run


def make_job(folder, changes=None, **more):
    return Job("trial-001", RunDir(folder / "trial-001"), changes or {}, **more)


def test_a_run_that_ends_has_its_metric(run, tmp_path):
    outcome = run(FINISHES)
    assert (outcome.status, outcome.value) == ("completed", 0.75)
    assert outcome.metric == "validation/accuracy"
    assert outcome.run_dir == str(tmp_path / "trial-001" / "run-20260101-000000")
    assert outcome.seconds > 0
    assert (tmp_path / "trial-001" / STDERR).read_text() == "progress\n"


def test_a_metric_that_is_no_number_is_a_failure(run):
    outcome = run(FINISHES.replace("0.75", "None"))
    assert (outcome.status, outcome.value) == ("failed", None)
    assert outcome.reason == "validation/accuracy is undefined"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("raise MemoryError('too large')", "MemoryError: too large"),
        ("import sys; sys.stderr.write('error: It broke.\\nbye\\n'); sys.exit(2)", "It broke."),
        ("import sys; sys.exit(3)", "exit code 3"),
        (
            "import os; os.kill(os.getpid(), 9)",
            "ended by signal 9, as a system without memory does",
        ),
    ],
)
def test_a_crash_is_a_failure_with_its_last_words(run, script, reason):
    outcome = run(script)
    assert (outcome.status, outcome.reason, outcome.run_dir) == ("failed", reason, None)


def begun(folder):
    time.sleep(0.05)
    return list(folder.glob("**/recipe.toml"))


@pytest.mark.parametrize("listens", [True, False])
def test_a_run_that_lags_behind_is_asked_to_end_or_killed(run, tmp_path, listens):
    script = WAITS if listens else WAITS.replace("sys.exit(143)", "pass")
    grace = 5.0 if listens else 0.2
    outcome = run(script, grace=grace, watch=lambda path: "too slow" if begun(path) else None)
    assert (outcome.status, outcome.reason) == ("pruned", "too slow")
    assert (tmp_path / "trial-001" / "saved").exists()


def test_a_stop_asks_the_process_to_save(run, tmp_path):
    def check():
        if begun(tmp_path):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(WAITS, check=check)
    assert (tmp_path / "trial-001" / "saved").exists()


def test_a_finished_run_is_read_and_not_run_again(run, tmp_path):
    run(FINISHES)
    metrics = tmp_path / "trial-001/run-20260101-000000/metrics.json"
    os.utime(metrics, (0, metrics.with_name("recipe.toml").stat().st_mtime + 90))
    outcome = run("raise RuntimeError('not again')")
    assert (outcome.status, outcome.value) == ("completed", 0.75)
    assert outcome.seconds == pytest.approx(90, abs=0.1)  # and a budget reckons with it


def test_a_process_that_a_killed_study_left_is_waited_for(run, tmp_path):
    job = make_job(tmp_path)
    run(WAITS, watch=lambda path: "begun" if begun(path) else None)

    def check():
        raise KeyboardInterrupt

    with job.run_dir().lock(), pytest.raises(KeyboardInterrupt):
        run("raise RuntimeError('two at a time')", check=check)


def test_a_higher_rung_goes_on_with_the_run_of_the_lower_one(run, tmp_path):
    run(FINISHES.replace('os.environ["RECIPE"]', '"[training]\\nstop_after_epochs = 1\\n"'))
    lower = make_job(tmp_path, epochs=1)
    assert lower.read_outcome(1.0).status == "completed"
    run_dir = lower.run_dir()
    higher = Job("trial-002", RunDir(tmp_path / "trial-002"), {}, 3, run_dir.path)
    assert higher.read_outcome(1.0) is None
    outcome = run("raise RuntimeError('stopped here')", higher)
    assert (outcome.status, outcome.reason) == ("failed", "RuntimeError: stopped here")
    assert higher.run_dir() == run_dir


def test_other_data_is_no_fault_of_the_trial(run, tmp_path):
    told = f"error: {OTHER_DATA} runs/a began with. Received: 'train: 41 examples, 40 before'."
    script = f"import sys; print({told!r}, file=sys.stderr); sys.exit(2)"
    with pytest.raises(UserError, match=r"trial-001 was not run.*41 examples, 40 before"):
        run(script)
    control = run(script.replace(OTHER_DATA, "The metric is not the metric that"))
    assert control.status == "failed"


# --- the command


def test_a_new_run_gets_recipe_and_settings_and_its_own_folder(tmp_path):
    trials = Trials(["imdb_quick", "training.epochs=2", "export.enabled=true"])
    searched = {"adapter.method": "lora", "adapter.matrices": ("query", "key")}
    weights = {"neg": 2.0, "New York, NY": 0.5}
    searched["training.class_weights"] = weights
    changes = {"training.learning_rate": 3e-5, **searched, **TRIAL_SETTINGS}
    command = trials.command(make_job(tmp_path, changes, epochs=4))
    assert command[1:5] == ["-m", "kerasft", "run", "--json"]
    assert command[5:8] == ["--runs-folder", str(tmp_path / "trial-001"), "imdb_quick"]
    recipe = load_recipe(command[7], command[8:])  # each setting once, or it would be refused
    assert recipe.training.learning_rate == 3e-5
    assert recipe.adapter.matrices == ("query", "key")
    assert recipe.training.class_weights == weights
    assert recipe.training.stop_after_epochs == 4
    assert (recipe.evaluation.test, recipe.export.enabled) == (False, False)
    assert "--same-data-as" not in command
    command = trials.command(make_job(tmp_path, same_data_as=tmp_path / "baseline"))
    assert command[command.index("--same-data-as") + 1] == str(tmp_path / "baseline")


def test_a_run_that_was_begun_is_resumed(run, tmp_path):
    run(FINISHES)
    job = make_job(tmp_path, {"training.learning_rate": 3e-5})
    expected = ["--json", "--resume", str(job.run_dir().path)]
    assert Trials(["imdb_quick"]).command(job)[4:] == expected


def test_workers_share_threads_and_gpus(monkeypatch):
    monkeypatch.setattr("kerasft.studies.tuning.job.usable_processes", lambda: 8)
    assert Trials([]).environment(0) == {}
    two = Trials([], num_workers=2, gpus=["0", "1", "5"])
    assert two.environment(0)["CUDA_VISIBLE_DEVICES"] == "0,5"
    assert two.environment(1)["CUDA_VISIBLE_DEVICES"] == "1"
    assert two.environment(1)["TF_NUM_INTRAOP_THREADS"] == "4"
    assert Trials([], num_workers=16).environment(0)["OMP_NUM_THREADS"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in Trials([], num_workers=2).environment(0)


def test_ctrl_c_reaches_the_study_alone(run, tmp_path):
    script = FINISHES + "\n(run / 'session').write_text(str(os.getsid(0) == os.getpid()))"
    run(script)
    assert (tmp_path / "trial-001/run-20260101-000000/session").read_text() == "True"


# --- a job's folder


def test_what_came_of_a_job_stands_in_its_folder(tmp_path):
    (tmp_path / "base.toml").write_text("")
    outcome = JobResult("completed", 0.5, 3.0, "validation/accuracy", "runs/a")
    told, runs = [], [outcome]
    runner = SimpleNamespace(run=lambda job, **more: runs.pop())
    search = Search(RunDir(tmp_path), None, runner, told.append, lambda: None)
    job = search.job("trial-001", {"training.batch_size": 8})
    assert search.run_job(job, 0) == outcome
    assert search.run_job(job, 0) == outcome  # and is not run again
    ended = "trial-001 completed in 3s, validation/accuracy 0.5000"
    assert told == ["trial-001 begins: training.batch_size=8", ended, ended]
    written = json.loads((tmp_path / "trials" / "trial-001" / "outcome.json").read_text())
    assert JobResult(**written) == outcome == search.outcome_of("trial-001")


def test_a_test_that_fails_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")
    with pytest.raises(UserError, match=r"could not be tested.*Fix: kerasft evaluate"):
        Trials([], poll_seconds=0.01).test(tmp_path, lambda: None)


def test_a_test_can_be_stopped(tmp_path, monkeypatch):
    script = tmp_path / "waits"
    script.write_text("#!/bin/sh\necho $$ > " + str(tmp_path / "pid") + "\nexec sleep 60\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))

    def check():
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trials([], poll_seconds=0.01).test(tmp_path, check)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGCONT)
