"""The learning curve: a metric against the number of training examples, and its conclusion."""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

from kerasft.metric import merit
from kerasft.metrics.spread import Spread, interval_of_mean, spread

_LINE = {"marker": "o", "linewidth": 2, "elinewidth": 1.3, "capsize": 5}


class Point(NamedTuple):
    """One size of the training set: `size` examples, run with each of `seeds`.

    `figure` is the metric and `seconds` the training time (with validation), over the seeds.
    """

    size: int
    figure: Spread
    seconds: Spread
    seeds: tuple[int, ...]
    run_dirs: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Curve:
    """A learning curve.

    Args:
        recipe: Name of the recipe.
        metric: The measured metric, `test/accuracy`.
        points: At least two, of increasing size, with the same seeds.
        notes: Sentences on the limits of the comparison.
    """

    recipe: str
    metric: str
    points: tuple[Point, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Returns plain data."""
        return {
            "recipe": self.recipe,
            "metric": self.metric,
            "points": [_point_json(point) for point in self.points],
            "conclusion": self.conclude(),
            "notes": self.notes,
        }

    def to_csv(self) -> str:
        """Returns a table with one row per size; an undefined figure is an empty cell."""
        rows = [
            (p.size, p.figure.mean, p.figure.std, len(p.seeds), p.seconds.mean) for p in self.points
        ]
        header = f"train_examples,{self.metric},{self.metric}_std,seeds,training_seconds"
        return "\n".join([header, *(",".join(map(_cell, row)) for row in rows), ""])

    def conclude(self) -> str:
        """Returns a conclusion on more examples, from the last two sizes.

        The gain is computed per seed, since the two runs of a seed share its random draws. It
        counts only if the 95 % interval of its mean over the seeds (Student's t) excludes zero. It
        is not extrapolated beyond the largest size.
        """
        before, last = self.points[-2:]
        pairs = zip(before.figure.values, last.figure.values, strict=True)
        gain = spread([value - earlier for earlier, value in pairs])
        change = f"From {before.size:,} to {last.size:,} examples {self.metric}"
        if math.isnan(gain.mean):
            return f"{change} is undefined for a seed: nothing is concluded."
        change += f" changed by {gain.mean:+.4f}"
        if gain.std is None:
            return (
                f"{change}. One seed does not tell how much of that is chance, so nothing is "
                "concluded: --seeds 3 would tell more."
            )
        low, high = interval_of_mean(gain)
        change += f" (95 % interval over {len(gain.values)} seeds: {low:+.4f} to {high:+.4f})"
        if low <= 0 <= high:
            return f"{change}: these runs do not tell whether more examples would help."
        if merit(self.metric, gain.mean) < 0:
            return f"{change}: more examples did harm. Look at the data, and train for longer."
        per_doubling = gain.mean / math.log2(last.size / before.size)
        return (
            f"{change}, {per_doubling:+.4f} a doubling: more examples still helped. What "
            f"{2 * last.size:,} would bring was not measured; where a curve flattens, as most do "
            "in the end, it is less than that."
        )


def plot_learning_curve(curve: Curve) -> bytes:
    """Plots a curve over a logarithmic axis of training examples; returns a PNG file."""
    from kerasft.evaluation.figures import BLUE, ORANGE, new_figure, to_png

    sizes = [point.size for point in curve.points]
    values = [point.figure.values for point in curve.points]
    means = [point.figure.mean for point in curve.points]
    several = min(map(len, values)) > 1
    with new_figure(f"{curve.recipe}: learning curve") as (figure, axes):
        if several:
            spread = [size for size, of_size in zip(sizes, values, strict=True) for _ in of_size]
            every = [value for of_size in values for value in of_size]
            axes.plot(spread, every, "D", color=ORANGE, markersize=4, zorder=4, label="each seed")
        deviations = [point.figure.std for point in curve.points] if several else None
        label = "mean and standard deviation over the seeds" if several else "one seed"
        axes.errorbar(sizes, means, deviations, color=BLUE, zorder=3, label=label, **_LINE)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set_xlabel("training examples")
        axes.set_ylabel(curve.metric)
        axes.legend(frameon=False, loc="best")
        return to_png(figure)


def _point_json(point: Point) -> dict[str, object]:
    return {
        "train_examples": point.size,
        **point.figure._asdict(),
        "training_seconds": point.seconds.mean,
        "seeds": point.seeds,
        "run_dirs": point.run_dirs,
    }


def _cell(value: float | None) -> str:
    if value is None or math.isnan(value):
        return ""
    return str(value) if isinstance(value, int) else f"{value:.9g}"
