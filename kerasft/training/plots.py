"""Plots as PNG files: the loss against the learning rate, a metric against the data."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasft.training.figures import BLUE, ORANGE, PALE, new_figure, to_png
from kerasft.training.rate_curve import RateCurve, describe_rate


def plot_rate_curve(curve: RateCurve, suggested: float | None, *, title: str) -> bytes:
    """Plots loss, raw and smoothed, against the rate on a logarithmic axis.

    Where the loss diverges, the lines leave the plot: what is to be seen lies below.

    Args:
        curve: The curve.
        suggested: The rate to mark, if there is one.
        title: What was measured.

    Returns:
        A PNG file.
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


def plot_learning_curve(
    sizes: Sequence[int],
    values: Sequence[Sequence[float]],
    *,
    metric: str,
    title: str,
) -> bytes:
    """Plots a metric against the number of training examples on a logarithmic axis.

    Args:
        sizes: Numbers of examples, rising.
        values: The metric's values of each size, one each seed; NaN where it is undefined.
        metric: Its name.
        title: What was run.

    Returns:
        A PNG file.
    """
    means = [float(np.mean(of_size)) for of_size in values]
    several = min(map(len, values)) > 1
    with new_figure(title) as (figure, axes):
        if several:
            spread = [size for size, of_size in zip(sizes, values, strict=True) for _ in of_size]
            every = [value for of_size in values for value in of_size]
            axes.plot(spread, every, "D", color=ORANGE, markersize=4, zorder=4, label="each seed")
        deviations = [float(np.std(v, ddof=1)) for v in values] if several else None
        label = "mean and standard deviation over the seeds" if several else "one seed"
        axes.errorbar(
            sizes,
            means,
            yerr=deviations,
            color=BLUE,
            marker="o",
            linewidth=2,
            elinewidth=1.3,
            capsize=5,
            zorder=3,
            label=label,
        )
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("training examples")
        axes.set_ylabel(metric)
        axes.legend(frameon=False, loc="best")
        return to_png(figure)


def write_tensorboard_image(folder: Path, name: str, png: bytes, *, step: int) -> None:
    """Writes a plot for TensorBoard's tab "Images".

    Args:
        folder: Where the event file goes.
        name: Name of the image.
        png: A PNG file.
        step: The step that it is shown at.
    """
    writer = tf.summary.create_file_writer(str(folder))
    with contextlib.closing(writer), writer.as_default(step=step):
        tf.summary.image(name, tf.io.decode_png(png, channels=3)[None])


def _limits(losses: np.ndarray, smoothed: np.ndarray) -> tuple[float, float]:
    """Returns the lowest and highest loss to show: no higher than before the smoothed lowest."""
    low, high = losses.min(), losses[: int(np.argmin(smoothed)) + 1].max()
    margin = 0.12 * float(high - low) or 0.05
    return float(low) - margin, float(high) + 2 * margin
