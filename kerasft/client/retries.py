"""Tries a call again when its failure may pass, with growing pauses and an end."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable
from typing import TypeVar

from kerasft.client.failures import TEMPORARY, CallError
from kerasft.errors import UserError

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 8.0
_LEAST_SECONDS = 0.001  # a time-out of 0 is an error to those who get it

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Retries:
    """How often and for how long a call is tried.

    Pauses double, and each is drawn between a half and the whole of that, so that clients that
    were turned away together do not come back together.

    Args:
        attempts: Times that a call is tried, the first one included.
        deadline_seconds: Seconds that all of them may take together, pauses included.

    Raises:
        UserError: One of them allows nothing.
    """

    attempts: int = 6
    deadline_seconds: float = 60.0

    def __post_init__(self):
        if self.attempts < 1:
            raise UserError(
                "A request needs an attempt.", received=self.attempts, expected="1 or more"
            )
        if not 0 < self.deadline_seconds < float("inf"):
            raise UserError(
                "A request needs time.", received=self.deadline_seconds, expected="seconds above 0"
            )

    def call(
        self, function: Callable[[float], Answer], wait: Callable[[float], object] = time.sleep
    ) -> Answer:
        """Returns what the function returns.

        Args:
            function: Gets the seconds that are left.
            wait: Waits some seconds.

        Raises:
            CallError: From the last attempt; `attempts` is how many there were.
        """
        end = time.monotonic() + self.deadline_seconds
        number = 1
        while True:
            try:
                return function(max(end - time.monotonic(), _LEAST_SECONDS))
            except CallError as error:
                pause = max(_pause_seconds(number), error.retry_after or 0.0)
                is_late = time.monotonic() + pause >= end
                if error.why not in TEMPORARY or number == self.attempts or is_late:
                    error.attempts = number
                    raise
            wait(pause)
            number += 1


def _pause_seconds(number: int) -> float:
    longest = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (number - 1))
    return random.uniform(longest / 2, longest)
