"""Handles Ctrl-C without loss: finishes the step, then saves a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path


class Interrupted(KeyboardInterrupt):
    """A run was interrupted, and its state is saved.

    Args:
        run_dir: The run directory, to resume from.
        step: Steps done.
        signal_number: SIGINT, the default, or SIGTERM.
    """

    def __init__(self, run_dir: Path, step: int, signal_number: int = signal.SIGINT):
        what = "Preempted" if signal_number == signal.SIGTERM else "Interrupted"
        super().__init__(f"{what} after step {step}.")
        self.run_dir = run_dir
        self.step = step
        self.signal_number = int(signal_number)


class InterruptRequested(KeyboardInterrupt):
    """Raised after a signal, where stopping is safe."""

    def __init__(self, signal_number: int = signal.SIGINT):
        super().__init__()
        self.signal_number = signal_number


class InterruptWatch:
    """Context manager that records SIGINT and SIGTERM; a second signal acts at once.

    Python delivers signals to the main thread only: elsewhere (a notebook's worker thread) it does
    nothing. `on_request` is called once, at the first signal.
    """

    def __init__(self, on_request: Callable[[], None] = lambda: None):
        self.requested = False
        self.signal_number: int = signal.SIGINT
        self._on_request = on_request
        self._previous = {}

    def __enter__(self) -> InterruptWatch:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception) -> None:
        self._restore()

    def check(self, agree: Callable[[bool], bool] = bool) -> None:
        """Raises `InterruptRequested` if a signal was recorded.

        With several processes, `agree` returns whether a flag is set in any of them.
        """
        if agree(self.requested):
            raise InterruptRequested(self.signal_number)

    def _note(self, number, frame) -> None:
        self.requested, self.signal_number = True, number
        self._restore()
        self._on_request()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
