"""A signal is noted, acted on where it is safe, and a second one acts at once."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from kerasft.training.loop.interrupt import Interrupted, InterruptRequested, InterruptWatch


@pytest.fixture(autouse=True)
def handlers():
    """Handlers as a command in the foreground has them; puts back those that were there.

    A shell has its background jobs ignore SIGINT, and Python leaves that so.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield {number: signal.getsignal(number) for number in before}
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)


def test_without_a_signal_nothing_happens():
    with InterruptWatch() as watch:
        watch.check()
    assert not watch.requested


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_check(number):
    told = []
    with InterruptWatch(lambda: told.append("once")) as watch:
        send(number)
        assert watch.requested
        with pytest.raises(InterruptRequested) as caught:
            watch.check()
        assert caught.value.signal_number == number
    assert told == ["once"]


def test_a_second_signal_acts_at_once():
    with InterruptWatch() as watch:
        send()
        with pytest.raises(KeyboardInterrupt) as caught:
            send()
    assert watch.requested
    assert not isinstance(caught.value, InterruptRequested)


@pytest.mark.parametrize("signals", [0, 1])
def test_handlers_are_put_back(handlers, signals):
    with InterruptWatch():
        assert signal.getsignal(signal.SIGINT) != handlers[signal.SIGINT]
        for _ in range(signals):
            send()
    assert {number: signal.getsignal(number) for number in handlers} == handlers


def test_elsewhere_than_in_the_main_thread_it_does_nothing(handlers):
    seen = []

    def work():
        with InterruptWatch() as watch:
            watch.check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handlers[signal.SIGINT]]


def test_interrupted_tells_where_to_resume(tmp_path):
    error = Interrupted(tmp_path, 12)
    assert (error.run_dir, error.step) == (tmp_path, 12)
    assert "after step 12" in str(error)
