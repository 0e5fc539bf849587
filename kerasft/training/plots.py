"""Plots as PNG files: the loss against the learning rate, a metric against the number of examples.

matplotlib is imported where a plot is made, and drawn with by its objects: no state of pyplot, no
window, no settings of the user's own.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from kerasft.training.rate_curve import RateCurve, describe_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES = (8.0, 4.8)
_DOTS_PER_INCH = 120
_BLUE, _ORANGE, _GREY, _PALE = "#1f5fa8", "#d1600a", "#5a6270", "#a9bdd6"


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
    with _figure(title) as (figure, axes):
        axes.plot(curve.rates, curve.losses, color=_PALE, linewidth=1, label="loss of each batch")
        axes.plot(curve.rates, smoothed, color=_BLUE, linewidth=2.2, label="smoothed")
        if suggested is not None:
            label = f"suggested: {describe_rate(suggested)}"
            axes.axvline(suggested, color=_ORANGE, linewidth=1.4, linestyle="--", label=label)
            loss = np.interp(np.log(suggested), np.log(curve.rates), smoothed)
            axes.plot([suggested], [loss], "o", color=_ORANGE, markersize=8, zorder=5)
        axes.set_xscale("log")
        axes.set_ylim(*_limits(curve.losses, smoothed))
        axes.set_xlabel("learning rate")
        axes.set_ylabel("loss")
        axes.legend(frameon=False, loc="best")
        return _to_png(figure)


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
    with _figure(title) as (figure, axes):
        if several:
            spread = [size for size, of_size in zip(sizes, values, strict=True) for _ in of_size]
            every = [value for of_size in values for value in of_size]
            axes.plot(spread, every, "D", color=_ORANGE, markersize=4, zorder=4, label="each seed")
        deviations = [float(np.std(v, ddof=1)) for v in values] if several else None
        label = "mean and standard deviation over the seeds" if several else "one seed"
        axes.errorbar(
            sizes,
            means,
            yerr=deviations,
            color=_BLUE,
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
        return _to_png(figure)


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


@contextlib.contextmanager
def _figure(title: str) -> Iterator[tuple[Figure, Axes]]:
    """Makes a figure with one plot in it, in matplotlib's own style."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        figure = Figure(figsize=_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", fontsize=12, color="#20242c", pad=12)
        axes.grid(visible=True, color="#e6e8ec", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=_GREY)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#c3c8d0")
        yield figure, axes


def _limits(losses: np.ndarray, smoothed: np.ndarray) -> tuple[float, float]:
    """Returns the lowest and highest loss to show: no higher than before the smoothed lowest."""
    low, high = losses.min(), losses[: int(np.argmin(smoothed)) + 1].max()
    margin = 0.12 * float(high - low) or 0.05
    return float(low) - margin, float(high) + 2 * margin


def _to_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without the version of matplotlib in it, equal plots are equal files.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
