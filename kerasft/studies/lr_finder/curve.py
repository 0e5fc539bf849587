"""The curve of a learning-rate range test (loss against rate), and the rate it suggests.

NumPy only; `finder.py` runs the test.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

_WINDOWS = 8  # windows per curve
_SMALLEST_WINDOW = 5
_CLEAR = 3.0  # standard errors; 4 % of pure-noise curves of 200 steps fall this far


@dataclasses.dataclass(frozen=True, eq=False)
class RateCurve:
    """The loss against the rate.

    Args:
        rates: float64 `(num_steps,)`, rising by the same factor each step.
        losses: float64 `(num_steps,)`: mean loss of each step's batch, before its update.
        num_planned: Steps of the whole range.
        diverged: Whether the test ended early, because the loss diverged.
    """

    rates: np.ndarray
    losses: np.ndarray
    num_planned: int
    diverged: bool = False

    @property
    def window(self) -> int:
        """Steps of the smoothing window, odd: an eighth of the range, at least 5."""
        return max(_SMALLEST_WINDOW, self.num_planned // _WINDOWS) // 2 * 2 + 1

    def smoothed(self) -> np.ndarray:
        """Returns the mean loss of the window around each step; windows are cut at the ends.

        A centred window does not lag, unlike a running average, which would overestimate the rates.
        """
        half = self.window // 2
        sums = np.concatenate([[0.0], np.cumsum(self.losses)])
        steps = np.arange(len(self.losses))
        first, last = np.maximum(steps - half, 0), np.minimum(steps + half + 1, len(steps))
        return (sums[last] - sums[first]) / (last - first)


class Suggestion(NamedTuple):
    """The learning rate that a curve suggests.

    Attributes:
        learning_rate: The rate, to two digits; `None` if the loss did not clearly fall.
        lowest_loss_rate: The rate with the lowest smoothed loss; `None` as above.
        reason: A sentence for people: why this rate, or why none.
    """

    learning_rate: float | None
    lowest_loss_rate: float | None
    reason: str


def suggest_rate(curve: RateCurve) -> Suggestion:
    """Suggests the rate at which the loss falls most steeply over the logarithm of the rate.

    The slope is of a least-squares line through the raw losses of each window. Only rates up to
    the lowest smoothed loss count; after it the loss diverges, even if it falls once more. At the
    steepest rate the model learns most, still well below rates that are too high. It becomes the
    peak of the schedule, whose mean over a run is about half of it, hence no further division.

    A fall is clear if it exceeds three standard errors of the difference of two windows' means.
    """
    size = curve.window
    if len(curve.losses) < 2 * size:
        return Suggestion(None, None, _too_short(curve))
    half = size // 2
    windows = np.lib.stride_tricks.sliding_window_view(curve.losses, size)
    means, centres = windows.mean(axis=1), curve.losses[half : len(curve.losses) - half]
    lowest = int(np.argmin(means))
    noise = float(np.std(centres[: lowest + 1] - means[: lowest + 1]))
    offsets = np.arange(-half, half + 1)
    slopes = windows[: lowest + 1] @ offsets / (offsets @ offsets)
    steepest = int(np.argmin(slopes))
    if means[0] - means[lowest] <= _CLEAR * noise * np.sqrt(2 / size) or slopes[steepest] >= 0:
        return Suggestion(None, None, _no_fall(means[0], means[lowest]))
    rate, best = curve.rates[steepest + half], curve.rates[lowest + half]
    open_end = lowest == len(means) - 1 and not curve.diverged
    reason = _reason(curve, float(best), starts=steepest == 0, ends=open_end)
    return Suggestion(float(f"{rate:.1e}"), float(best), reason)


def describe_rate(rate: float) -> str:
    """Returns a rate in short form, also a TOML literal: `5e-5`, `1.5e-4`."""
    digits, _, exponent = f"{rate:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(exponent)}"


def _too_short(curve: RateCurve) -> str:
    return (
        f"The loss diverged after {len(curve.losses)} steps, before there was a curve to read: "
        "begin lower, or take more steps."
    )


def _no_fall(first: float, lowest: float) -> str:
    return (
        f"The loss did not clearly fall at any rate: {first:.4g} at the lowest rates, {lowest:.4g} "
        "at best, and it scatters by as much. Take more steps, or larger batches."
    )


def _reason(curve: RateCurve, best: float, *, starts: bool, ends: bool) -> str:
    text = (
        "There the smoothed loss falls most steeply over the logarithm of the rate; it is lowest "
        f"at {describe_rate(best)}."
    )
    if curve.diverged:
        text += f" The test ended at {describe_rate(curve.rates[-1])}, where the loss diverged."
    if starts:
        text += " It falls from the first steps on: begin lower to see all of the fall."
    if ends:
        text += " It was still falling at the highest rate: go higher to see the end."
    return text
