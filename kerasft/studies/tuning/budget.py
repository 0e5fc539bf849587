"""The time budget of a study: parsing, time used, and what still fits."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kerasft.errors import UserError

_UNITS = {"h": 3600, "m": 60, "s": 1}
_WRITTEN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_TRUSTED_SHARE = 0.1  # of a run, after which its duration can be estimated


def read_time(text: str) -> float:
    """Parses a time such as `2h`, `1h30m`, `45m`, `90s` into seconds; else raises `UserError`."""
    match = _WRITTEN.fullmatch(text.strip().replace(" ", ""))
    parts = zip(match.groups() if match else (), _UNITS.values(), strict=False)
    seconds = sum(float(part) * unit for part, unit in parts if part)
    if not seconds:
        raise UserError(
            "--budget is no time.", received=text, expected="such as 2h, 1h30m, 45m or 90s"
        )
    return seconds


def write_time(seconds: float) -> str:
    """Formats seconds for people: `1h05m`, `2m30s`, `12s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"


class Finals(NamedTuple):
    """The finals: `finalists` besides the baseline (0: none), each run with `seeds` new seeds."""

    finalists: int
    seeds: int

    @property
    def runs(self) -> int:
        """Number of runs, including those of the baseline."""
        return (self.finalists + 1) * self.seeds if self.finalists else 0


@dataclasses.dataclass
class Budget:
    """The time budget of a study: `seconds`, or `None` without a limit.

    Earlier sessions used some of it. `workers` run in parallel; `clock` returns seconds.
    """

    seconds: float | None
    used_before: float = 0.0
    workers: int = 1
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self):
        self._start = self.clock() - self.used_before

    @property
    def used(self) -> float:
        """Seconds that the study has taken so far, over all sessions."""
        return self.clock() - self._start

    def fits(self, durations: Sequence[float], reserved_runs: int = 0) -> bool:
        """Returns whether one more trial fits, and the reserved runs after it.

        Each takes the median of `durations`: the seconds of the trials so far, at least one.
        """
        if self.seconds is None:
            return True
        median = statistics.median(durations)
        return self.used + median + self._needed(reserved_runs, median) <= self.seconds

    def _needed(self, runs: int, seconds_each: float) -> float:
        return -(-runs // self.workers) * seconds_each

    def choose_finals(self, wanted: Finals, seconds_each: float) -> Finals:
        """Returns finals that take at most half of the budget: fewer finalists, then fewer seeds.

        `wanted` is returned without a limit. `seconds_each` is the time of a run.
        """
        if self.seconds is None:
            return wanted
        smaller = [
            Finals(finalists, seeds)
            for seeds in range(wanted.seeds, 0, -1)
            for finalists in range(wanted.finalists, 0, -1)
        ]
        half = self.seconds / 2
        fitting = (f for f in smaller if self._needed(f.runs, seconds_each) <= half)
        return next(fitting, Finals(0, 0))

    def check_time_of_one(
        self, resume: str, *, share: float = 0.0, took: float | None = None
    ) -> None:
        """Raises `UserError` if there is no time for the baseline and one trial.

        `share` of the baseline is finished, or it is done and `took` seconds. `resume` is the
        command that resumes the study.
        """
        if self.seconds is None:
            return
        if took is None:
            took = self.used / share if share > _TRUSTED_SHARE else self.used
        if 2 * took > self.seconds:
            raise UserError(
                "The budget is too small for one trial beside the recipe as it is.",
                received=write_time(self.seconds),
                expected=f"{write_time(math.ceil(2 * took))} or more, since the recipe takes at "
                f"least {write_time(took)}",
                fix=f"{resume} --budget {write_time(math.ceil(3 * took))}",
            )
