"""What is said of an interval whose metric is undefined on some resamples, or on all."""

import math

from kerasft.metrics.bootstrap import Interval
from kerasft.tasks.measuring import interval_facts


def test_a_whole_interval_needs_no_words():
    interval = Interval(0.8, 0.7, 0.9, 0.95)
    assert interval_facts("f1_macro", interval) == ({"f1_macro": interval}, [])


def test_no_interval():
    assert interval_facts("f1_macro", None) == ({}, [])


def test_resamples_left_out_are_told():
    interval = Interval(0.8, 0.7, 0.9, 0.95, 1200)
    assert interval_facts("pearson", interval) == (
        {"pearson": interval},
        ["pearson is undefined on 1,200 resamples, which its interval leaves out."],
    )


def test_an_interval_without_ends_is_none():
    interval = Interval(0.8, math.nan, math.nan, 0.95, 10)
    assert interval_facts("pearson", interval) == (
        {},
        ["pearson is undefined on every resample, so it has no interval."],
    )
