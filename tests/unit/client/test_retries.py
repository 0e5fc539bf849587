import pytest

from kerasft.client import retries
from kerasft.client.failures import CallError, Why
from kerasft.client.retries import Retries


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


def test_pauses_double_up_to_a_limit_and_differ(pauses):
    assert Retries(9, 100.0).call(fail(8), pauses.append) == "answer"
    longest = [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]
    assert all(most / 2 <= p <= most for p, most in zip(pauses, longest, strict=True))
    assert len({p / most for p, most in zip(pauses, longest, strict=True)}) == 8


def test_a_call_gets_the_time_that_is_left(pauses):
    call = fail(2)
    Retries(3, 10.0).call(call, pauses.append)
    assert call.left == [10.0, 10.0 - pauses[0], 10.0 - sum(pauses)]


@pytest.mark.parametrize(
    ("why", "attempts", "made"),
    [(Why.BUSY, 3, 3), (Why.BUSY, 1, 1), (Why.REFUSED, 3, 1), (Why.LOADING, 2, 2)],
)
def test_attempts_that_are_made(pauses, why, attempts, made):
    with pytest.raises(CallError, match=f"failure {made}") as caught:
        Retries(attempts, 100.0).call(fail(9, why), pauses.append)
    assert caught.value.attempts == made
    assert len(pauses) == made - 1


def test_no_pause_goes_beyond_the_deadline(pauses):
    with pytest.raises(CallError) as caught:
        Retries(99, 2.0).call(fail(99), pauses.append)
    assert sum(pauses) < 2.0
    assert 2 < caught.value.attempts < 10


def test_a_server_says_when(pauses):
    Retries(3, 100.0).call(fail(2, retry_after=7.0), pauses.append)
    assert pauses == [7.0, 7.0]
    with pytest.raises(CallError):
        Retries(3, 5.0).call(fail(2, retry_after=7.0), pauses.append)
