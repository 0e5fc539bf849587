"""Retries temporary failures with growing pauses and a deadline."""

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
_LEAST_SECONDS = 0.001  # a timeout of 0 is an error in the libraries

Answer = TypeVar("Answer")


@dataclasses.dataclass(frozen=True)
class Retries:
    """Limits of the retries of a call.

    Pauses double; each is drawn between half and all of that, so that clients that were refused
    together do not return together.

    Args:
        attempts: Maximum number of attempts, at least 1; `None`: as many as the time allows.
        deadline_seconds: Maximum seconds for all attempts and pauses, above 0.
    """

    attempts: int | None = None
    deadline_seconds: float = 60.0

    def __post_init__(self):
        if self.attempts is not None and self.attempts < 1:
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
        """Returns the function's result.

        Args:
            function: Called with the seconds that are left.
            wait: Sleeps for the given seconds.

        Raises:
            CallError: From the last attempt; its `attempts` is their number.
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
