"""The journal of a study: one JSON object per line for each start, end and result.

A line is flushed to the disk before it is acted upon. A line torn by a killed process is the last
one, and is dropped.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasft.errors import UserError
from kerasft.run_dir import telling_os_errors, to_json

JOURNAL = "journal.jsonl"
OPENED, STARTED, ENDED, TESTED = "opened", "started", "ended", "tested"
COMPLETED, PRUNED, FAILED = "completed", "pruned", "failed"


@dataclasses.dataclass(frozen=True)
class JobResult:
    """The result of a trial.

    Args:
        status: `completed`, `pruned` (stopped since others were better) or `failed`.
        value: The best value of the metric; `None` if there is none.
        seconds: Duration, over all attempts.
        metric: The measured metric, `validation/accuracy`.
        run_dir: Its run directory; `None` if it has none.
        reason: Why it failed or was pruned.
        loss: The validation loss; `None` if it is unknown.
    """

    status: str
    value: float | None
    seconds: float
    metric: str | None = None
    run_dir: str | None = None
    reason: str = ""
    loss: float | None = None


class Journal:
    """An append-only file of events, made if it is missing; `clock` returns seconds since 1970.

    Raises `UserError` if a line before the last is damaged.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time):
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()  # workers are threads
        self.events = read_events(path)
        _drop_torn_line(path)

    def add(self, event: str, **fields: Any) -> None:
        """Appends an event and flushes it to the disk."""
        line = {"event": event, "time": round(self._clock(), 3), **fields}
        with self._lock, telling_os_errors(self.path):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(to_json(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self.events.append(json.loads(to_json(line)))

    def end(self, job: str, outcome: JobResult) -> None:
        """Records the result of a trial or another run."""
        self.add(ENDED, job=job, **dataclasses.asdict(outcome))

    def outcome(self, job: str) -> JobResult | None:
        """Returns the result of a job; `None` before it has ended."""
        return self.outcomes().get(job)

    def outcomes(self) -> dict[str, JobResult]:
        """Returns the result of each job that has ended, in the order of ending."""
        return {event["job"]: _outcome(event) for event in self.of(ENDED)}

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Returns the events of a kind."""
        return [event for event in self.events if event["event"] == kind]

    def num_trials(self) -> int:
        """Returns the number of trials started, without the baseline."""
        return max(0, sum("values" in event for event in self.of(STARTED)) - 1)

    def used_seconds(self) -> float:
        """Returns the time between first and last event of each session, summed."""
        used, start, last = 0.0, None, None
        for event in self.events:
            if event["event"] == OPENED:
                used += 0.0 if start is None else last - start
                start = event["time"]
            last = event["time"]
        return used if start is None else used + last - start


def _outcome(event: Mapping[str, Any]) -> JobResult:
    names = {field.name for field in dataclasses.fields(JobResult)}
    return JobResult(**{name: value for name, value in event.items() if name in names})


def find_test(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Returns the event of the winner's test; `None`: nothing was tested.

    Earlier versions wrote one without metrics if there was no test split.
    """
    tested = (event for event in events if event["event"] == TESTED and event["metrics"])
    return next(tested, None)


def read_events(path: Path) -> list[dict[str, Any]]:
    """Returns the events of a file, without a torn last line; empty if there is no file."""
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    events = []
    for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
        try:
            events.append(json.loads(line))
            events[-1]["event"]
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"Line {number} of {path} is damaged.",
                received=line.decode(errors="replace"),
                expected="an event of the study, as JSON",
                fix="start a new study, without --resume.",
            ) from error
    return events


def _drop_torn_line(path: Path) -> None:
    """Truncates the file after its last complete line."""
    content = path.read_bytes() if path.exists() else b""
    torn = content.rpartition(b"\n")[2]
    if torn:
        with telling_os_errors(path):
            os.truncate(path, len(content) - len(torn))
