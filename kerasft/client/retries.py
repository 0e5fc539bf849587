"""Retries temporary failures with growing pauses and a deadline."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from kerasft.client.failures import TEMPORARY, CallError

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 8.0
_LEAST_SECONDS = 0.001  # a timeout of 0 is an error in the libraries

Answer = TypeVar("Answer")


def call_again(
    function: Callable[[float], Answer],
    *,
    attempts: int | None,
    deadline_seconds: float,
    wait: Callable[[float], object] = time.sleep,
) -> Answer:
    """Returns a function's result, and calls it again after a temporary failure.

    Pauses double; each is drawn between half and all of that, so that clients that were refused
    together do not return together.

    Args:
        function: Called with the seconds that are left.
        attempts: Maximum number of calls; `None`: as many as the time allows.
        deadline_seconds: Maximum seconds for all calls and pauses.
        wait: Sleeps for the given seconds.

    Raises:
        CallError: From the last call; its `attempts` is their number.
    """
    end = time.monotonic() + deadline_seconds
    number, longest = 1, _FIRST_PAUSE_SECONDS
    while True:
        try:
            return function(max(end - time.monotonic(), _LEAST_SECONDS))
        except CallError as error:
            pause = max(random.uniform(longest / 2, longest), error.retry_after or 0.0)
            is_late = time.monotonic() + pause >= end
            if error.why not in TEMPORARY or number == attempts or is_late:
                error.attempts = number
                raise
        wait(pause)
        number, longest = number + 1, min(2 * longest, _LONGEST_PAUSE_SECONDS)
