"""The end of a search: finalists with new seeds, a winner by mean, and what may be said of it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from kerasft.metrics.spread import Spread, interval_of_mean, spread
from kerasft.tuning.journal import COMPLETED, Outcome

BASELINE = "baseline"


@dataclasses.dataclass(frozen=True)
class Tried:
    """A trial and what came of it.

    Args:
        job: Its name; `baseline` is the recipe as it is.
        values: The settings that it tried.
        outcome: What came of it.
        epochs: Of Hyperband: how long it trained.
    """

    job: str
    values: Mapping[str, Any]
    outcome: Outcome
    epochs: int | None = None


@dataclasses.dataclass(frozen=True)
class Finalist:
    """A trial that was run again, with new seeds.

    Args:
        job: The trial's name; `baseline` is the recipe as it is.
        values: Its settings.
        figure: The metric on validation over the seeds; undefined if one of them failed.
        run_dirs: The run of each seed, `None` where it came to none.
    """

    job: str
    values: Mapping[str, Any]
    figure: Spread
    run_dirs: tuple[str | None, ...]


def choose_finalists(tried: Sequence[Tried], count: int, *, lower_is_better: bool) -> list[Tried]:
    """Returns the best trials, of equal settings the first; those that trained longest first.

    Args:
        tried: All trials, the recipe as it is among them or not: it is in the finals anyway.
        count: How many at most.
        lower_is_better: Whether less of the metric is better.
    """
    completed = [t for t in tried if t.outcome.status == COMPLETED and t.job != BASELINE]
    sign = 1 if lower_is_better else -1
    completed.sort(key=lambda t: (-(t.epochs or 0), sign * t.outcome.value))
    chosen: list[Tried] = []
    for trial in completed:
        if all(trial.values != other.values for other in chosen):
            chosen.append(trial)
    return chosen[:count]


def choose_winner(finalists: Sequence[Finalist], *, lower_is_better: bool) -> Finalist | None:
    """Returns the finalist with the best mean; of equal ones the first. `None`: all failed."""
    usable = [f for f in finalists if not math.isnan(f.figure.mean)]
    key = (lambda f: f.figure.mean) if lower_is_better else (lambda f: -f.figure.mean)
    return min(usable, key=key, default=None)


def best_run(winner: Finalist, *, lower_is_better: bool) -> str:
    """Returns the run of a finalist whose seed was the best on validation."""
    sign = 1 if lower_is_better else -1
    ranked = zip(winner.figure.values, winner.run_dirs, strict=True)
    return min(ranked, key=lambda pair: sign * pair[0])[1]


def gain_of(winner: Finalist, baseline: Finalist, *, lower_is_better: bool) -> Spread:
    """Returns by how much a finalist is ahead of the recipe as it is, seed by seed.

    The two runs of a seed share what it draws. More is better, whatever the metric.
    """
    sign = -1 if lower_is_better else 1
    pairs = zip(winner.figure.values, baseline.figure.values, strict=True)
    return spread([sign * (ours - theirs) for ours, theirs in pairs])


def conclude(
    winner: Finalist | None, baseline: Finalist | None, metric: str, *, lower_is_better: bool
) -> str:
    """Says in a sentence or two whether the search has found something better than the recipe.

    The gain counts only if the 95 % interval of its mean over the seeds does not hold zero.

    Args:
        winner: Of the finalists; `None`: there is none.
        baseline: The recipe as it is, with the same seeds.
        metric: Of validation.
        lower_is_better: Whether less of it is better.
    """
    if winner is None or baseline is None or math.isnan(baseline.figure.mean):
        return "The recipe as it is could not be compared: nothing is concluded."
    seeds = len(baseline.figure.values)
    own = f"{metric} {_show(baseline.figure)} over {seeds} new seed{'s' * (seeds > 1)}"
    if winner.job == BASELINE:
        return f"The search does not beat the recipe as it is: {own}, and no finalist has more."
    gain = gain_of(winner, baseline, lower_is_better=lower_is_better)
    ahead = (
        f"{winner.job} is ahead of the recipe as it is by {gain.mean:+.4f}: "
        f"{metric} {_show(winner.figure)} against {_show(baseline.figure)}"
    )
    if gain.std is None:
        return (
            f"{ahead}. One seed does not tell how much of that is chance, so nothing is concluded: "
            "--seeds 3 would tell more."
        )
    low, high = interval_of_mean(gain)
    within = f"(95 % interval of the gain over {seeds} seeds: {low:+.4f} to {high:+.4f})"
    if low > 0:
        return f"The search beats the recipe. {ahead} {within}."
    return (
        f"{ahead} {within}, which cannot be told from what another seed changes: the search is not "
        "shown to beat the recipe."
    )


def conclude_without_finals(
    best: Tried | None, baseline: Tried, metric: str, *, lower_is_better: bool
) -> str:
    """Says what may be said where no finalist was run with new seeds: not much.

    Args:
        best: The best trial; `None`: none came to its end.
        baseline: The recipe as it is.
        metric: Of validation.
        lower_is_better: Whether less of it is better.
    """
    own = baseline.outcome.value
    if best is None:
        return f"No trial came to its end: the recipe as it is has {metric} {own:.4f}."
    sign = -1 if lower_is_better else 1
    gain = sign * (best.outcome.value - own)
    return (
        f"{best.job} is ahead of the recipe as it is by {gain:+.4f}: {metric} "
        f"{best.outcome.value:.4f} against {own:.4f}. There was no time for finals, and the best "
        "of several trials with one seed is in part luck: nothing is concluded."
    )


def _show(figure: Spread) -> str:
    return f"{figure.mean:.4f}" + ("" if figure.std is None else f" ± {figure.std:.4f}")
