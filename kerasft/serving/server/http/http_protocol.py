"""What uvicorn's HTTP lacks: timeouts for a request's head and for a response that nobody reads.

It also fails with a traceback when faulty bytes follow a request that is being answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def protocol_with_patience(head_seconds: float, answer_seconds: float) -> type[H11Protocol]:
    """Returns uvicorn's protocol with timeouts.

    The head of a request must arrive in `head_seconds`, and some of a long response must be read in
    `answer_seconds`.
    """

    class PatientProtocol(H11Protocol):
        """A connection that is cut after a timeout."""

        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait(head_seconds, transport.close)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.flow.write_paused:
                return
            if self.conn.their_state is not h11.IDLE:
                self._stop_waiting()
            elif self._timer is None:
                self._wait(head_seconds, self.transport.close)

        def send_400_response(self, msg: str) -> None:
            if self.cycle is not None:
                self.cycle.disconnected = True  # what its application sends is dropped
            try:
                super().send_400_response(msg)
            except h11.LocalProtocolError:  # another response has begun, or it is to a HEAD
                self.transport.close()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._wait(answer_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._wait(head_seconds, self.transport.close)
            super().resume_writing()

        def _wait(self, seconds: float, end: Callable[[], None]) -> None:
            self._stop_waiting()
            self._timer = self.loop.call_later(seconds, end)

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return PatientProtocol
