"""The end of a search: finalists with new seeds, a winner by mean, and what may be said of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kerasft.metric import is_defined, lower_is_better, merit, rank
from kerasft.metrics.spread import Spread, interval_of_mean, show_figure, spread
from kerasft.studies.tuning.keras_tuner.journal import COMPLETED, JobResult

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
    outcome: JobResult
    epochs: int | None = None


@dataclasses.dataclass(frozen=True)
class Finalist:
    """A trial that was run again, with new seeds.

    Args:
        job: The trial's name; `baseline` is the recipe as it is.
        values: Its settings.
        figure: The metric on validation over the seeds; undefined if one of them failed.
        run_dirs: The run of each seed, `None` where it came to none.
        losses: The loss on validation of each seed, `None` where it is not known; or none at all.
    """

    job: str
    values: Mapping[str, Any]
    figure: Spread
    run_dirs: tuple[str | None, ...]
    losses: tuple[float | None, ...] = ()


def choose_finalists(tried: Sequence[Tried], count: int, metric: str) -> list[Tried]:
    """Returns the best trials, of equal settings the first; those that trained longest first.

    A trial whose metric is undefined is none of them. Ties go to the lower loss on validation, then
    to the earlier trial.

    Args:
        tried: All trials, the recipe as it is among them or not: it is in the finals anyway.
        count: How many at most.
        metric: Of validation.
    """
    completed = [
        t
        for t in tried
        if t.outcome.status == COMPLETED and t.job != BASELINE and is_defined(t.outcome.value)
    ]
    completed.sort(
        key=lambda t: (t.epochs or 0, *rank(metric, t.outcome.value, t.outcome.loss)), reverse=True
    )
    chosen: list[Tried] = []
    for trial in completed:
        if all(trial.values != other.values for other in chosen):
            chosen.append(trial)
    return chosen[:count]


def alone(trial: Tried) -> Finalist:
    """Returns the best trial as one that was run with one seed."""
    outcome = trial.outcome
    return Finalist(
        trial.job, trial.values, spread([outcome.value]), (outcome.run_dir,), (outcome.loss,)
    )


def choose_winner(finalists: Sequence[Finalist], metric: str) -> Finalist | None:
    """Returns the finalist with the best mean of a metric. `None`: each of them failed with a seed.

    Ties go to the lower mean loss on validation, then to the earlier finalist.
    """
    usable = [f for f in finalists if is_defined(f.figure.mean)]
    return max(
        usable,
        key=lambda f: rank(metric, f.figure.mean, spread(f.losses or (None,)).mean),
        default=None,
    )


def best_run(winner: Finalist, metric: str) -> str | None:
    """Returns the run of a finalist whose seed was the best on validation.

    Ties go to the lower loss on validation, then to the earlier seed. `None`: the metric is
    undefined for every seed.
    """
    losses = winner.losses or (None,) * len(winner.run_dirs)
    seeds = zip(winner.figure.values, losses, winner.run_dirs, strict=True)
    ranked = [
        (rank(metric, value, loss), run_dir) for value, loss, run_dir in seeds if is_defined(value)
    ]
    return max(ranked, key=lambda seed: seed[0])[1] if ranked else None


def gain_of(winner: Finalist, baseline: Finalist, metric: str) -> Spread:
    """Returns by how much a finalist is ahead of the recipe as it is, seed by seed.

    The two runs of a seed share what it draws. More is better, whatever the metric.
    """
    pairs = zip(winner.figure.values, baseline.figure.values, strict=True)
    return spread([merit(metric, ours - theirs) for ours, theirs in pairs])


def conclude(winner: Finalist | None, finalists: Sequence[Finalist], metric: str) -> str:
    """Says in a sentence or two whether the search has found something better than the recipe.

    The gain counts only if the 95 % interval of its mean over the seeds does not hold zero.

    Args:
        winner: Of the finalists; `None`: there is none.
        finalists: All of them; the first is the recipe as it is, with the same seeds.
        metric: Of validation.
    """
    baseline = finalists[0]
    failed = [finalist.job for finalist in finalists if not is_defined(finalist.figure.mean)]
    if winner is None or baseline.job in failed:
        return "The recipe as it is could not be compared: nothing is concluded."
    if len(failed) == len(finalists) - 1:
        return "No finalist came to its end with every seed: nothing is concluded."
    said = _compare(winner, baseline, metric)
    left_out = f" Not compared, since a seed failed: {', '.join(failed)}." if failed else ""
    return f"{said}{left_out}"


def _compare(winner: Finalist, baseline: Finalist, metric: str) -> str:
    seeds = len(baseline.figure.values)
    own = f"{metric} {_show(baseline.figure)} over {seeds} new seed{'s' * (seeds > 1)}"
    if winner.job == BASELINE:
        more = "less" if lower_is_better(metric) else "more"
        return f"The search does not beat the recipe as it is: {own}, and no finalist has {more}."
    if winner.figure.mean == baseline.figure.mean:
        return (
            f"{winner.job} equals the recipe as it is, {own}, with a lower loss on validation: the "
            "search is not shown to beat the recipe."
        )
    gain = gain_of(winner, baseline, metric)
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


def conclude_without_finals(best: Tried | None, baseline: Tried, metric: str) -> str:
    """Says what may be said where no finalist was run with new seeds: not much.

    Args:
        best: The best trial; `None`: none came to its end.
        baseline: The recipe as it is.
        metric: Of validation.
    """
    own = baseline.outcome.value
    if best is None:
        return f"No trial came to its end: the recipe as it is has {metric} {own:.4f}."
    gain = merit(metric, best.outcome.value - own)
    place = "behind" if gain < 0 else "ahead of" if gain > 0 else "level with"
    by = f" by {abs(gain):.4f}" if gain else ""
    return (
        f"{best.job} is {place} the recipe as it is{by}: {metric} {best.outcome.value:.4f} "
        f"against {own:.4f}. There was no time for finals, and the best of several trials with one "
        "seed is in part luck: nothing is concluded."
    )


def _show(figure: Spread) -> str:
    return show_figure(figure.mean) + ("" if figure.std is None else f" ± {figure.std:.4f}")
