"""Ctrl-C without loss: the signal is noted, the step finishes, a checkpoint is saved."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path


class Interrupted(KeyboardInterrupt):
    """A run was interrupted after its state was saved.

    Args:
        run_dir: Folder of the run, to resume from.
        step: Steps done.
        signal_number: What interrupted it: SIGINT, the default, or SIGTERM.
    """

    def __init__(self, run_dir: Path, step: int, signal_number: int = signal.SIGINT):
        what = "Preempted" if signal_number == signal.SIGTERM else "Interrupted"
        super().__init__(f"{what} after step {step}.")
        self.run_dir = run_dir
        self.step = step
        self.signal_number = int(signal_number)


class InterruptRequested(KeyboardInterrupt):
    """Raised at a place where stopping is safe, after a signal was noted."""

    def __init__(self, signal_number: int = signal.SIGINT):
        super().__init__()
        self.signal_number = signal_number


class InterruptWatch:
    """Notes SIGINT and SIGTERM while it is entered; a second signal acts at once.

    Python delivers signals to the main thread only: elsewhere (a notebook's worker thread) the
    watch does nothing, and signals act as always.

    Args:
        on_request: Told once, when the first signal comes.
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
        """Raises `InterruptRequested` if a signal was noted.

        Args:
            agree: Of several processes: tells of a flag whether it is up in any of them.
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
