import pytest

from kerasft.client import retries
from kerasft.client.failures import CallError, Why
from kerasft.client.retries import call_again


def fail(times, why=Why.BUSY, retry_after=None):
    """A call that fails some times; it notes the seconds that were left."""
    left = []

    def call(seconds):
        left.append(seconds)
        if len(left) <= times:
            raise CallError(why, f"failure {len(left)}", retry_after)
        return "answer"

    call.left = left
    return call


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were waited for, on a clock that only they move."""
    pauses = []
    monkeypatch.setattr(retries, "_FIRST_PAUSE_SECONDS", 0.25)
    monkeypatch.setattr(retries.time, "monotonic", lambda: sum(pauses))
    return pauses


def again(call, pauses, attempts, deadline_seconds):
    limits = {"attempts": attempts, "deadline_seconds": deadline_seconds}
    return call_again(call, **limits, wait=pauses.append)


def test_pauses_double_up_to_a_limit_and_differ(pauses):
    assert again(fail(8), pauses, 9, 100.0) == "answer"
    longest = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert all(most / 2 <= p <= most for p, most in zip(pauses, longest, strict=True))
    assert len({p / most for p, most in zip(pauses, longest, strict=True)}) == 8


def test_a_call_gets_the_time_that_is_left(pauses):
    call = fail(2)
    again(call, pauses, 3, 10.0)
    assert call.left == [10.0, 10.0 - pauses[0], 10.0 - sum(pauses)]


@pytest.mark.parametrize(
    ("why", "attempts", "made"),
    [(Why.BUSY, 3, 3), (Why.BUSY, 1, 1), (Why.REFUSED, 3, 1), (Why.LOADING, 2, 2)],
)
def test_attempts_that_are_made(pauses, why, attempts, made):
    with pytest.raises(CallError, match=f"failure {made}") as caught:
        again(fail(9, why), pauses, attempts, 100.0)
    assert caught.value.attempts == made
    assert len(pauses) == made - 1


def test_no_pause_goes_beyond_the_deadline(pauses):
    with pytest.raises(CallError) as caught:
        again(fail(99), pauses, 99, 2.0)
    assert sum(pauses) < 2.0
    assert 2 < caught.value.attempts < 10


def test_a_server_says_when(pauses):
    again(fail(2, retry_after=7.0), pauses, 3, 100.0)
    assert pauses == [7.0, 7.0]
    with pytest.raises(CallError):
        again(fail(2, retry_after=7.0), pauses, 3, 5.0)


def test_a_restart_of_ten_seconds_is_survived_without_a_limit_of_attempts(pauses):
    def call(seconds):
        if sum(pauses) < 10.0:
            raise CallError(Why.UNREACHABLE, "nobody there")
        return "answer"

    assert again(call, pauses, None, 60.0) == "answer"
    assert sum(pauses) < 25.0
