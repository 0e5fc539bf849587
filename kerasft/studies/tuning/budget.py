"""The time budget of a study: parsing, time used, and what still fits."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kerasft.errors import UserError

_UNITS = {"h": 3600, "m": 60, "s": 1}
_WRITTEN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def read_time(text: str) -> float:
    """Parses a time such as `2h`, `1h30m`, `45m`, `90s` into seconds; else raises `UserError`."""
    match = _WRITTEN.fullmatch(text.strip().replace(" ", ""))
    parts = match.groups() if match else ()
    seconds = sum(
        float(part) * unit for part, unit in zip(parts, _UNITS.values(), strict=False) if part
    )
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


class Budget:
    """The time budget of a study.

    Args:
        seconds: The limit; `None`: no limit.
        used: Seconds used by earlier sessions of the study.
        workers: Trials that run in parallel.
        clock: Returns seconds, increasing.
    """

    def __init__(
        self,
        seconds: float | None,
        used: float = 0.0,
        workers: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.seconds = seconds
        self.workers = workers
        self._clock = clock
        self._start = clock() - used

    @property
    def used(self) -> float:
        """Seconds that the study has taken so far, over all sessions."""
        return self._clock() - self._start

    @property
    def left(self) -> float:
        """Seconds left; infinite without a limit."""
        return float("inf") if self.seconds is None else self.seconds - self.used

    def fits(self, durations: Sequence[float], reserved_runs: int = 0) -> bool:
        """Returns whether one more trial of the median duration, and the reserved runs, fit.

        `durations` are seconds of the trials so far, at least one; the reserved runs follow the
        search.
        """
        if self.seconds is None:
            return True
        median = statistics.median(durations)
        return median + self.needed(reserved_runs, median) <= self.left

    def needed(self, runs: int, seconds_each: float) -> float:
        """Returns the seconds that some runs take, in parallel on the workers."""
        return -(-runs // self.workers) * seconds_each

    def choose_finals(self, wanted: Finals, seconds_each: float, *, fixed: bool) -> Finals:
        """Returns finals that take at most half of the budget: fewer finalists, then fewer seeds.

        `wanted` is returned without a limit or if `fixed`. `seconds_each` is the time of a run.
        """
        if self.seconds is None or fixed:
            return wanted
        smaller = [
            Finals(finalists, seeds)
            for seeds in range(wanted.seeds, 0, -1)
            for finalists in range(wanted.finalists, 0, -1)
        ]
        half = self.seconds / 2
        fitting = (f for f in smaller if self.needed(f.runs, seconds_each) <= half)
        return next(fitting, Finals(0, 0))
