"""HTTP timeouts, which uvicorn lacks for reading a request's head and sending a response."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def protocol_with_patience(head_seconds: float, answer_seconds: float) -> type[H11Protocol]:
    """Returns uvicorn's protocol with timeouts.

    Args:
        head_seconds: For the head of a request to arrive.
        answer_seconds: In which some of a long response must be read.
    """

    class PatientProtocol(H11Protocol):
        """A connection that closes after a timeout."""

        _timer: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait_for_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is h11.IDLE:
                self._wait_for_head()
            else:
                self._stop_waiting()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_waiting()
            self._stop_waiting_for_reader()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._unread = self.loop.call_later(answer_seconds, self.transport.abort)

        def resume_writing(self) -> None:
            self._stop_waiting_for_reader()
            super().resume_writing()

        def _wait_for_head(self) -> None:
            if self._timer is None and not self.transport.is_closing():
                self._timer = self.loop.call_later(head_seconds, self._hang_up)

        def _stop_waiting(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _stop_waiting_for_reader(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def _hang_up(self) -> None:
            self._timer = None
            if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
                self.transport.close()

    return PatientProtocol
