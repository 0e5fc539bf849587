"""The jobs of a study: each a run in a folder of its own, as a process `kerasft run`.

A crash, a loss that is not finite, or a lack of memory costs one trial only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasft.console import program
from kerasft.errors import UserError
from kerasft.metric import is_defined
from kerasft.recipe import load_recipe
from kerasft.recipe.settings import to_literal
from kerasft.run_dir import RunDir, telling_os_errors
from kerasft.runs.data.tokenizing import usable_processes
from kerasft.runs.resume import OTHER_DATA
from kerasft.studies.choosing import monitor_of, validation_loss
from kerasft.studies.series import read_finished
from kerasft.studies.tuning.journal import COMPLETED, FAILED, PRUNED, JobResult

TRIALS, OUTCOME, STDERR = "trials", "outcome.json", "stderr.txt"
# Trials are not tested or exported, and draw no plots, which take time.
TRIAL_SETTINGS = {"evaluation.test": False, "export.enabled": False, "logging.plots": False}
_TAIL_BYTES = 4000


@dataclasses.dataclass(frozen=True)
class Job:
    """A run of a study.

    Args:
        name: `baseline`, `trial-003`, `final-trial-003-seed-2`; so is its `folder` named.
        changes: Settings that differ from the study's recipe.
        epochs: Stop after these epochs of the full-length schedule; `None`: at the end.
        continues: The run directory to resume; `None`: a new one.
        same_data_as: The run directory whose data must be the same; `None`: not checked.
    """

    name: str
    folder: RunDir
    changes: Mapping[str, Any]
    epochs: int | None = None
    continues: Path | None = None
    same_data_as: Path | None = None

    def run_dir(self) -> RunDir | None:
        """Returns the job's run directory; `None` if it has none yet."""
        if self.continues is not None:
            return RunDir(self.continues)
        found = sorted(self.folder.path.glob("*/recipe.toml"))
        return RunDir(found[-1].parent) if found else None

    def outcome(self) -> JobResult | None:
        """Returns the result; `None` before the job has ended."""
        if not (self.folder.path / OUTCOME).exists():
            return None
        return JobResult(**self.folder.read_json(OUTCOME))

    def end(self, outcome: JobResult) -> JobResult:
        """Writes the result into the job's folder, and returns it."""
        self.folder.write_json(OUTCOME, dataclasses.asdict(outcome))
        return outcome

    def read_outcome(self, seconds: float | None = None) -> JobResult | None:
        """Reads the result from the run; `None` before the run has reached the job's end.

        `seconds` is how long it took; `None`: as the times of its files tell.
        """
        run_dir = self.run_dir()
        if run_dir is None or not run_dir.metrics_path.exists():
            return None
        recipe = load_recipe(run_dir.recipe_path)
        if self.epochs not in (None, recipe.training.stop_after_epochs):
            return None
        if seconds is None:
            times = [path.stat().st_mtime for path in (run_dir.recipe_path, run_dir.metrics_path)]
            seconds = max(0.0, times[1] - times[0])
        finished = read_finished(recipe, run_dir.path)
        metric = monitor_of(finished)
        value = finished.metrics.get(metric)
        known = (seconds, metric, str(run_dir.path))
        if not is_defined(value):
            return JobResult(FAILED, None, *known, reason=f"{metric} is undefined")
        return JobResult(COMPLETED, value, *known, loss=validation_loss(finished))

    def result(self, code: int, seconds: float, pruned: str | None) -> JobResult:
        """Returns the result after the job's process has ended with an exit code.

        `pruned` is why it was pruned; `None` if it was not.
        """
        finished = self.read_outcome(seconds)
        if finished is not None:
            return finished
        run_dir = self.run_dir()
        where = None if run_dir is None else str(run_dir.path)
        status, reason = (FAILED, self._last_words(code)) if pruned is None else (PRUNED, pruned)
        return JobResult(status, None, seconds, run_dir=where, reason=reason)

    def _last_words(self, code: int) -> str:
        if code < 0:
            hint = ", as a system without memory does" if code == -9 else ""
            return f"ended by signal {-code}{hint}"
        content = (self.folder.path / STDERR).read_bytes()[-_TAIL_BYTES:]
        lines = list(filter(str.strip, content.decode(errors="replace").splitlines()))
        told = [line for line in lines if line.startswith("error: ")]
        return (told or lines or [f"exit code {code}"])[-1].strip().removeprefix("error: ")


@dataclasses.dataclass(frozen=True)
class Trials:
    """Runs jobs as processes: `kerasft run` with the arguments `base`, a recipe and settings.

    Each of `num_workers` parallel workers gets its share of the threads, and of the `gpus`, which
    are ids. A process is checked every `poll_seconds`; `grace` is for a checkpoint at its end.
    """

    base: Sequence[str]
    num_workers: int = 1
    gpus: Sequence[str] = ()
    poll_seconds: float = 0.5
    grace: float = 60.0

    def run(
        self,
        job: Job,
        *,
        slot: int,
        check: Callable[[], object],
        watch: Callable[[Path], str | None] | None = None,
    ) -> JobResult:
        """Runs a job to its end, from where an earlier attempt stopped.

        `slot` is the worker's number, from 0. `check` is called repeatedly and may raise to stop:
        the process then saves a checkpoint. `watch` returns for the run directory why to prune it.
        """
        start = time.monotonic()
        while (run_dir := job.run_dir()) is not None and run_dir.is_in_use():
            check()  # a process that a killed study left is waited for
            time.sleep(self.poll_seconds)
        finished = job.read_outcome()  # such a process may have come to its end
        if finished is not None:
            return finished
        with telling_os_errors(job.folder.path):
            job.folder.path.mkdir(parents=True, exist_ok=True)
            stderr = (job.folder.path / STDERR).open("ab")
        options = {"env": {**os.environ, **self.environment(slot)}, "stdout": subprocess.DEVNULL}
        with stderr, self._process(self.command(job), stderr=stderr, **options) as process:
            pruned = None
            while pruned is None and process.poll() is None:
                check()
                run_dir = job.run_dir()
                pruned = watch(run_dir.path) if watch and run_dir else None
                time.sleep(self.poll_seconds)
        outcome = job.result(process.returncode, time.monotonic() - start, pruned)
        if OTHER_DATA in outcome.reason:
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
        settings = [f"{name}={to_literal(value)}" for name, value in job.changes.items()]
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
        command = [sys.executable, "-m", "kerasft", "evaluate", str(run_dir), "--json"]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self._process(command, **streams) as process:
            out = err = None
            while out is None:
                check()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    out, err = process.communicate(timeout=self.poll_seconds)
        if process.returncode:
            raise UserError(
                f"The winner's run {run_dir} could not be tested.",
                received=err.decode(errors="replace").strip().rpartition("\n")[2],
                fix=f"{program('kerasft')} evaluate {shlex.quote(str(run_dir))}",
            )
        metrics = json.loads(out)["metrics"]
        return {name: value for name, value in metrics.items() if name.startswith("test")}

    @contextlib.contextmanager
    def _process(self, command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen]:
        """Starts a process; on exit one that still runs is asked to end, and killed at last.

        In a session of its own Ctrl-C does not reach it: the study ends its trials.
        """
        options |= {"stdin": subprocess.DEVNULL, "start_new_session": True}
        with subprocess.Popen(command, **options) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(self.grace)
                    except subprocess.TimeoutExpired:
                        process.kill()
