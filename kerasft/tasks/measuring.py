"""What tasks share in measuring a split."""

from __future__ import annotations

from kerasft.metrics.bootstrap import Interval


def interval_facts(
    headline: str, interval: Interval | None
) -> tuple[dict[str, Interval], list[str]]:
    """Returns the headline's interval as `EvaluationFacts.intervals`, and notes on what it lacks.

    Args:
        headline: The metric.
        interval: Its interval; `None` if it has none.
    """
    if interval is None:
        return {}, []
    if not interval.num_left_out:
        return {headline: interval}, []
    if interval.lower != interval.lower:  # NaN: no resample was left
        return {}, [f"{headline} is undefined on every resample, so it has no interval."]
    note = (
        f"{headline} is undefined on {interval.num_left_out:,} resamples, which its interval "
        "leaves out."
    )
    return {headline: interval}, [note]
