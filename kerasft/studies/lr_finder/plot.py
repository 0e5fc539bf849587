"""The plot of a rate search: the loss against the learning rate."""

from __future__ import annotations

import numpy as np

from kerasft.evaluation.figures import BLUE, ORANGE, PALE, new_figure, to_png
from kerasft.studies.lr_finder.curve import RateCurve, describe_rate


def plot_rate_curve(curve: RateCurve, suggested: float | None, *, title: str) -> bytes:
    """Plots raw and smoothed loss against the rate on a logarithmic axis; returns a PNG file.

    A diverging loss leaves the plot, so that the part below stays visible. `suggested` is the rate
    to mark, if any; `title` is shown above.
    """
    smoothed = curve.smoothed()
    with new_figure(title) as (figure, axes):
        axes.plot(curve.rates, curve.losses, color=PALE, linewidth=1, label="loss of each batch")
        axes.plot(curve.rates, smoothed, color=BLUE, linewidth=2.2, label="smoothed")
        if suggested is not None:
            label = f"suggested: {describe_rate(suggested)}"
            axes.axvline(suggested, color=ORANGE, linewidth=1.4, linestyle="--", label=label)
            loss = np.interp(np.log(suggested), np.log(curve.rates), smoothed)
            axes.plot([suggested], [loss], "o", color=ORANGE, markersize=8, zorder=5)
        axes.set_xscale("log")
        axes.set_ylim(*_limits(curve.losses, smoothed))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.legend(frameon=False, loc="best")
        return to_png(figure)


def _limits(losses: np.ndarray, smoothed: np.ndarray) -> tuple[float, float]:
    """Returns the loss limits of the plot: at most the highest loss before the smoothed minimum."""
    low, high = losses.min(), losses[: int(np.argmin(smoothed)) + 1].max()
    margin = 0.12 * float(high - low) or 0.05
    return float(low) - margin, float(high) + 2 * margin
