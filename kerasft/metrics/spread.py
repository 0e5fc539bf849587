"""Mean and standard deviation of a figure over several seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from kerasft.metric import is_defined

_CONFIDENCE = 0.95
_SMALL = 1e-3


class Spread(NamedTuple):
    """A figure over several seeds.

    Attributes:
        mean: NaN if any of the values is: undefined values are not silently left out.
        std: The sample standard deviation (divided by n - 1); `None` for a single value.
        values: One for each seed, in their order.
    """

    mean: float
    std: float | None
    values: tuple[float, ...]


def show_figure(value: float | None) -> str:
    """Formats a metric: four decimals, three digits of a smaller one, or `undefined`."""
    if not is_defined(value):
        return "undefined"
    return f"{value:.3g}" if 0 < abs(value) < _SMALL else f"{value:.4f}"


def spread(values: Sequence[float | None]) -> Spread:
    """Returns mean and standard deviation over the seeds; `None` and NaN are undefined values."""
    numbers = tuple(math.nan if value is None else float(value) for value in values)
    if any(map(math.isnan, numbers)):
        return Spread(math.nan, None if len(numbers) == 1 else math.nan, numbers)
    deviation = statistics.stdev(numbers) if len(numbers) > 1 else None
    return Spread(statistics.fmean(numbers), deviation, numbers)


def interval_of_mean(figure: Spread) -> tuple[float, float]:
    """Returns the 95 % interval of a mean over at least two seeds, by Student's t.

    If the values are differences, an interval without 0 is a significant one.
    """
    from scipy.stats import t  # imported here, since command lines import this module

    count = len(figure.values)
    half = float(t.ppf((1 + _CONFIDENCE) / 2, count - 1)) * figure.std / math.sqrt(count)
    return figure.mean - half, figure.mean + half
