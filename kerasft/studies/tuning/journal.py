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
    """The result of a trial or another run of a study.

    Args:
        status: `completed`, `pruned` or `failed`; `reason` says why it was pruned or failed.
        value: The best value of `metric`, such as `validation/accuracy`; `None` if undefined.
        seconds: Duration of the last attempt.
        run_dir: Its run directory; `None` if it has none.
        loss: The validation loss; `None` if it is unknown.
    """

    status: str
    value: float | None
    seconds: float
    metric: str | None = None
    run_dir: str | None = None
    reason: str = ""
    loss: float | None = None


_FIELDS = [field.name for field in dataclasses.fields(JobResult)]


class Journal:
    """An append-only file of events, made if it is missing; `clock` returns seconds since 1970."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time):
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()  # workers are threads
        self.events = read_events(path)
        if path.exists():
            with telling_os_errors(path):  # without a torn line
                os.truncate(path, sum(map(len, _whole_lines(path))))

    def add(self, event: str, **fields: Any) -> None:
        """Appends an event and flushes it to the disk."""
        line = to_json({"event": event, "time": round(self._clock(), 3), **fields})
        with self._lock, telling_os_errors(self.path):
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            self.events.append(json.loads(line))

    def start(self, job: str, **fields: Any) -> None:
        """Records the start of a job, once."""
        if all(event["job"] != job for event in self.of(STARTED)):
            self.add(STARTED, job=job, **fields)

    def end(self, job: str, outcome: JobResult) -> None:
        """Records the result of a job."""
        self.add(ENDED, job=job, **dataclasses.asdict(outcome))

    def outcomes(self) -> dict[str, JobResult]:
        """Returns the result of each job that has ended, in the order of ending."""
        ended = self.of(ENDED)
        return {e["job"]: JobResult(**{n: e[n] for n in _FIELDS if n in e}) for e in ended}

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Returns the events of a kind."""
        return [event for event in self.events if event["event"] == kind]

    def num_trials(self) -> int:
        """Returns the number of trials started, without the baseline."""
        return max(0, sum("values" in event for event in self.of(STARTED)) - 1)

    def used_seconds(self) -> float:
        """Returns the time between first and last event of each session, summed."""
        pairs = zip(self.events, self.events[1:], strict=False)
        return sum(e["time"] - before["time"] for before, e in pairs if e["event"] != OPENED)


def find_test(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Returns the event of the winner's test; `None`: nothing was tested.

    Earlier versions wrote one without metrics if there was no test split.
    """
    tested = (event for event in events if event["event"] == TESTED and event["metrics"])
    return next(tested, None)


def read_events(path: Path) -> list[dict[str, Any]]:
    """Returns the events of a journal, without a torn last line; empty if there is no file.

    Raises `UserError` if another line is damaged.
    """
    events = []
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            events.append(json.loads(line))
            events[-1]["event"]
        except (ValueError, TypeError, KeyError) as error:
            raise UserError(
                f"Line {number} of {path} is damaged.",
                received=line.decode(errors="replace").rstrip(),
                expected="an event of the study, as JSON",
                fix="start a new study, without --resume.",
            ) from error
    return events


def _whole_lines(path: Path) -> list[bytes]:
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [line for line in lines if line.endswith(b"\n")]
