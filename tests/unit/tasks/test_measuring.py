"""What is said of an interval whose metric is undefined on some resamples, or on all."""

import math

import pytest

from kerasft.metrics.bootstrap import Interval
from kerasft.tasks.measuring import interval_facts

LEFT_OUT = "pearson is undefined on 1,200 resamples, which its interval leaves out."
NONE = "pearson is undefined on every resample, so it has no interval."


@pytest.mark.parametrize(
    ("interval", "has_one", "said"),
    [
        (Interval(0.8, 0.7, 0.9, 0.95), True, []),
        (None, False, []),
        (Interval(0.8, 0.7, 0.9, 0.95, 1200), True, [LEFT_OUT]),
        (Interval(0.8, math.nan, math.nan, 0.95, 10), False, [NONE]),
    ],
)
def test_what_is_said(interval, has_one, said):
    assert interval_facts("pearson", interval) == ({"pearson": interval} if has_one else {}, said)
