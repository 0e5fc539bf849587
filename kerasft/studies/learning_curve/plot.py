"""The plot of a learning curve: a metric against the number of training examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasft.evaluation.figures import BLUE, ORANGE, new_figure, to_png


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
