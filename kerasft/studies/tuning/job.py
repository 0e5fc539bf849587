"""A job: a run of a study, its folder, its progress and its result."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kerasft.errors import UserError
from kerasft.metric import is_defined, merit
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.choosing import monitor_of, validation_loss
from kerasft.studies.series import read_finished
from kerasft.studies.tuning.keras_tuner.journal import COMPLETED, FAILED, PRUNED, JobResult
from kerasft.studies.tuning.keras_tuner.pruning import read_curve

TRIALS, OUTCOME, STDERR = "trials", "outcome.json", "stderr.txt"
# Trials are not tested or exported, and draw no plots, which take time.
TRIAL_SETTINGS = {"evaluation.test": False, "export.enabled": False, "logging.plots": False}
_UNSEARCHED = (
    "evaluation.",
    "export.",
    "logging.",
    "data.dataset",
)  # common to all runs of a study
_TAIL_BYTES = 4000


@dataclasses.dataclass(frozen=True)
class Job:
    """A run of a study.

    Args:
        name: `baseline`, `trial-003`, `final-trial-003-seed-2`.
        folder: Its folder.
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


def run_job(
    job: Job, run: Callable[[], JobResult], recipe_path: Path, log: Callable[[str], object]
) -> JobResult:
    """Runs a job unless its folder has a result, and writes the result there.

    A job whose settings conflict with the recipe fails without starting a process.
    """
    outcome = job.outcome()
    if outcome is not None:
        return outcome
    try:
        load_recipe(recipe_path, job.changes)
    except UserError as error:
        return note(job, JobResult(FAILED, None, 0.0, reason=" ".join(str(error).split())))
    log(f"{job.name} {'goes on' if job.run_dir() else 'begins'}: {describe(job.changes)}")
    return note(job, run())


def note(job: Job, outcome: JobResult) -> JobResult:
    """Writes a job's result into its folder, and returns it."""
    job.folder.path.mkdir(parents=True, exist_ok=True)
    job.folder.write_json(OUTCOME, dataclasses.asdict(outcome))
    return outcome


def is_finished(job: Job) -> bool:
    """Returns whether the job's run has reached the end of the job."""
    run_dir = job.run_dir()
    if run_dir is None or not run_dir.metrics_path.exists():
        return False
    stop = load_recipe(run_dir.recipe_path).training.stop_after_epochs
    return job.epochs is None or stop == job.epochs


def finished_outcome(job: Job, seconds: float) -> JobResult:
    """Reads the result of a finished run."""
    run_dir = job.run_dir()
    finished = read_finished(load_recipe(run_dir.recipe_path), run_dir.path)
    metric = monitor_of(finished)
    value = finished.metrics.get(metric)
    known = {"seconds": seconds, "metric": metric, "run_dir": str(run_dir.path)}
    known["loss"] = validation_loss(finished)
    if not is_defined(value):
        return JobResult(FAILED, None, **known, reason=f"{metric} is undefined")
    return JobResult(COMPLETED, value, **known)


def outcome_of(job: Job, code: int, seconds: float, pruned: str | None) -> JobResult:
    """Returns the result of a job whose process has ended with an exit code.

    `pruned` is why it was pruned; `None` if it was not.
    """
    if is_finished(job):
        return finished_outcome(job, seconds)
    run_dir = job.run_dir()
    where = None if run_dir is None else str(run_dir.path)
    if pruned is not None:
        return JobResult(PRUNED, None, seconds, run_dir=where, reason=pruned)
    return JobResult(FAILED, None, seconds, run_dir=where, reason=why_failed(job, code))


def why_failed(job: Job, code: int) -> str:
    """Returns the last words of a process, on one line."""
    path = job.folder.path / STDERR
    content = path.read_bytes() if path.exists() else b""
    lines = [line.strip() for line in content[-_TAIL_BYTES:].decode(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    if code < 0:
        hint = ", as a system without memory does" if code == -9 else ""
        return f"ended by signal {-code}{hint}"
    told = [line for line in lines if line.startswith("error: ")]
    return (told or lines or [f"exit code {code}"])[-1].removeprefix("error: ")


def best_of(run_dir: Path, metric: str) -> float | None:
    """Returns the best value that a run has reached so far; `None` before its first."""
    values = [e.value for e in read_curve(run_dir, metric) if not math.isnan(e.value)]
    return max(values, key=lambda value: merit(metric, value), default=None)


def describe(changes: Mapping[str, Any]) -> str:
    """Formats settings for people, on one line."""
    shown = {name: value for name, value in changes.items() if not name.startswith(_UNSEARCHED)}
    return ", ".join(f"{n}={show_value(v)}" for n, v in shown.items()) or "the recipe as it is"


def show_value(value: object) -> str:
    """Formats a setting's value for people: a number with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def write_value(value: Any) -> str:
    """Formats a setting's value as an override."""
    return json.dumps(value, ensure_ascii=False)
