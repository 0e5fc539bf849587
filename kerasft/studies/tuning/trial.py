"""Runs the jobs of a study, each as `kerasft run` in its own process.

A crash, a loss that is not finite, or a lack of memory costs one trial only.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from kerasft.errors import UserError
from kerasft.runs.data.tokenizing import usable_processes
from kerasft.runs.resume import OTHER_DATA
from kerasft.studies.tuning.job import (
    STDERR,
    Job,
    finished_outcome,
    is_finished,
    outcome_of,
    write_value,
)
from kerasft.studies.tuning.keras_tuner.journal import JobResult

_GRACE_SECONDS = 60.0  # for a checkpoint, before a process is killed


class Trials:
    """Runs jobs as processes.

    Args:
        base: Arguments of `kerasft run`: a recipe, and perhaps settings.
        num_workers: Parallel workers; each gets its share of threads and GPUs.
        gpus: The visible GPUs' ids; may be empty.
        poll_seconds: Interval at which a process is checked.
        grace: Seconds between the request to end and the kill.
    """

    def __init__(
        self,
        base: Sequence[str],
        *,
        num_workers: int = 1,
        gpus: Sequence[str] = (),
        poll_seconds: float = 0.5,
        grace: float = _GRACE_SECONDS,
    ):
        self.base = tuple(base)
        self.num_workers = num_workers
        self.gpus = tuple(gpus)
        self.poll_seconds = poll_seconds
        self.grace = grace

    def run(
        self,
        job: Job,
        *,
        slot: int,
        check: Callable[[], object],
        watch: Callable[[Path], str | None] = lambda run_dir: None,
    ) -> JobResult:
        """Runs a job to its end, from where an earlier attempt stopped.

        Args:
            job: The job.
            slot: The worker's number, from 0.
            check: Called repeatedly; may raise to stop. The process then saves a checkpoint and
                ends.
            watch: Given the run directory, returns why to prune the run; `None`: continue.
        """
        start = time.monotonic()
        self._wait_for_orphan(job, check)
        if is_finished(job):
            return finished_outcome(job, 0.0)
        job.folder.path.mkdir(parents=True, exist_ok=True)
        with (job.folder.path / STDERR).open("ab") as stderr:
            process = subprocess.Popen(
                self.command(job),
                env={**os.environ, **self.environment(slot)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,  # Ctrl-C reaches only the study, which ends its trials
            )
            try:
                reason = self._watch(process, job, check, watch)
            finally:
                self._end(process)
        outcome = outcome_of(job, process.returncode, time.monotonic() - start, reason)
        if OTHER_DATA in (outcome.reason or ""):
            # Not the trial's fault: it is run again when the search resumes.
            raise UserError(f"{job.name} was not run. {outcome.reason}")
        return outcome

    def command(self, job: Job) -> list[str]:
        """Returns the command that starts or resumes a job."""
        kerasft = [sys.executable, "-m", "kerasft", "run", "--json"]
        stop = [] if job.epochs is None else [f"training.stop_after_epochs={job.epochs}"]
        if job.same_data_as is not None:
            kerasft += ["--same-data-as", str(job.same_data_as)]
        run_dir = job.run_dir()
        if run_dir is not None:
            return [*kerasft, "--resume", str(run_dir.path), *stop]
        settings = [f"{name}={write_value(value)}" for name, value in job.changes.items()]
        given = [text for text in self.base if text.partition("=")[0].strip() not in job.changes]
        return [*kerasft, "--runs-folder", str(job.folder.path), *given, *settings, *stop]

    def environment(self, slot: int) -> dict[str, str]:
        """Returns the environment that gives a worker its share of this machine."""
        if self.num_workers == 1:
            return {}
        threads = str(max(1, usable_processes() // self.num_workers))
        names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        variables = dict.fromkeys(names, threads)
        if self.gpus:
            variables["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus[slot :: self.num_workers])
        return variables

    def test(self, run_dir: Path, check: Callable[[], object]) -> dict[str, float]:
        """Evaluates a run on its test split; returns the metrics, or raises `UserError`."""
        with subprocess.Popen(
            [sys.executable, "-m", "kerasft", "evaluate", str(run_dir), "--json"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            out = err = None
            try:
                while out is None:
                    check()
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        out, err = process.communicate(timeout=self.poll_seconds)
            finally:
                self._end(process)
        if process.returncode:
            raise UserError(
                f"The winner's run {run_dir} could not be tested.",
                received=err.decode(errors="replace").strip().splitlines()[-1:],
                fix=f"kerasft evaluate {run_dir}",
            )
        metrics = json.loads(out)["metrics"]
        return {name: value for name, value in metrics.items() if name.startswith("test")}

    def _wait_for_orphan(self, job: Job, check: Callable[[], object]) -> None:
        """Waits while a process left by a killed study still works on the run."""
        while (run_dir := job.run_dir()) is not None and run_dir.is_in_use():
            check()
            time.sleep(self.poll_seconds)

    def _watch(
        self,
        process: subprocess.Popen,
        job: Job,
        check: Callable[[], object],
        watch: Callable[[Path], str | None],
    ) -> str | None:
        while process.poll() is None:
            check()
            run_dir = job.run_dir()
            reason = None if run_dir is None else watch(run_dir.path)
            if reason is not None:
                return reason
            time.sleep(self.poll_seconds)
        return None

    def _end(self, process: subprocess.Popen) -> None:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(self.grace)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
