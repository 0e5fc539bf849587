"""HTTP for clients who are in no hurry.

uvicorn waits without end for the head of a request, and for somebody to read an answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def protocol_with_patience(head_seconds: float, answer_seconds: float) -> type[H11Protocol]:
    """Returns uvicorn's protocol, which hangs up on who takes too long.

    Args:
        head_seconds: For the head of a request to come in.
        answer_seconds: In which some of a long answer must be read.
    """

    class PatientProtocol(H11Protocol):
        """A connection that does not stay open for nothing."""

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
