"""Counts the requests in flight, so that a stopping server answers them and refuses new ones."""

from __future__ import annotations

import asyncio
import time

from kerasft.serving.server.status import ServingError

_ON_THE_WAY_SECONDS = 0.2  # a request that was sent before the stop may arrive this late
_QUIET_SECONDS = 0.1  # without a new request, before connections are closed


class Gate:
    """A context manager around each request, from its arrival to the end of its response.

    Attributes:
        closing: Whether the server is stopping: connections should not be kept.
    """

    def __init__(self):
        self.closing = False
        self._is_closed = False
        self._num_inside = 0
        self._last_entry = 0.0

    def __enter__(self) -> Gate:
        self._num_inside += 1
        self._last_entry = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self._num_inside -= 1

    def check(self) -> None:
        """Raises `ServingError` (`UNAVAILABLE`) once the gate is closed."""
        if self._is_closed:
            raise ServingError("UNAVAILABLE", "The server is stopping.")

    async def close(self, seconds: float) -> None:
        """Refuses new requests and waits until none is inside, at most some seconds.

        Refused callers may come again at once. Their last request must not meet a connection that
        is being closed, so this returns after a moment without any.
        """
        self.closing = True
        end = time.monotonic() + seconds
        await asyncio.sleep(min(_ON_THE_WAY_SECONDS, seconds))
        self._is_closed = True
        while time.monotonic() < end:
            if not self._num_inside and time.monotonic() - self._last_entry > _QUIET_SECONDS:
                return
            await asyncio.sleep(0.01)
