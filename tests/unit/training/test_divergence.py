"""How training that breaks down is noticed."""

from __future__ import annotations

import math

import pytest

from kerasft.training.loop.divergence import DivergedError, check_finite, check_loss


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (1.0, math.inf), (math.inf, 1.0)])
def test_what_is_no_number_is_told_with_its_step(loss, norm):
    with pytest.raises(DivergedError, match=r"broke down at step 4.*learning rate 0\.01") as caught:
        check_finite(4, loss, norm, 0.01)
    assert caught.value.step == 4
    check_finite(4, 1.0, 1.0, 0.01)


def test_a_loss_is_compared_with_the_mean_of_those_before():
    recent = []
    for step in range(1, 21):
        check_loss(step, 1.0 + step % 2, recent, 3.0)  # a mean of 1.5
    check_loss(21, 4.4, recent, 3.0)
    with pytest.raises(DivergedError, match=r"blew up at step 22.*loss 5, .* 21 steps have 1.638"):
        check_loss(22, 5.0, recent, 3.0)
    assert len(recent) == 21  # what diverged is no measure of what follows


def test_nothing_is_compared_before_there_is_something_to_compare_with():
    recent = []
    check_loss(1, 0.1, recent, 2.0)
    check_loss(2, 100.0, recent, 2.0)
    assert recent == [0.1, 100.0]


def test_only_the_last_hundred_count():
    recent = [1.0] * 100
    check_loss(101, 2.0, recent, 5.0)
    assert recent == [1.0] * 99 + [2.0]
