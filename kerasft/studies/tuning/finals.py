"""The finals of a search: finalists with new seeds, the winner by mean, and the conclusion."""

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
    """A trial and its result; `epochs` is how long it trained, of Hyperband only."""

    job: str
    values: Mapping[str, Any]
    outcome: JobResult
    epochs: int | None = None


@dataclasses.dataclass(frozen=True)
class Finalist:
    """A trial that was run again with new seeds.

    Args:
        job: The trial's name; `baseline` is the unchanged recipe.
        values: Its settings.
        figure: The validation metric over the seeds; undefined if one of them failed.
        run_dirs: The run of each seed; `None` if there is none.
        losses: The validation loss of each seed, `None` if it is unknown; may be empty.
    """

    job: str
    values: Mapping[str, Any]
    figure: Spread
    run_dirs: tuple[str | None, ...]
    losses: tuple[float | None, ...] = ()


def choose_finalists(tried: Sequence[Tried], count: int, metric: str) -> list[Tried]:
    """Returns the best trials without duplicate settings; trials that trained longest come first.

    Trials with an undefined metric are excluded. Ties go to the lower validation loss, then to the
    earlier trial.

    Args:
        tried: All trials, with or without the baseline, which is in the finals in any case.
        count: Maximum number of finalists.
        metric: The validation metric.
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
    """Returns the best trial as a finalist of one seed."""
    outcome = trial.outcome
    return Finalist(
        trial.job, trial.values, spread([outcome.value]), (outcome.run_dir,), (outcome.loss,)
    )


def choose_winner(finalists: Sequence[Finalist], metric: str) -> Finalist | None:
    """Returns the finalist with the best mean of a metric; `None`: each failed with some seed.

    Ties go to the lower mean validation loss, then to the earlier finalist.
    """
    usable = [f for f in finalists if is_defined(f.figure.mean)]
    return max(
        usable,
        key=lambda f: rank(metric, f.figure.mean, spread(f.losses or (None,)).mean),
        default=None,
    )


def best_run(winner: Finalist, metric: str) -> str | None:
    """Returns the run of a finalist's best seed on validation; `None`: all are undefined.

    Ties go to the lower validation loss, then to the earlier seed.
    """
    losses = winner.losses or (None,) * len(winner.run_dirs)
    seeds = zip(winner.figure.values, losses, winner.run_dirs, strict=True)
    ranked = [
        (rank(metric, value, loss), run_dir) for value, loss, run_dir in seeds if is_defined(value)
    ]
    return max(ranked, key=lambda seed: seed[0])[1] if ranked else None


def gain_of(winner: Finalist, baseline: Finalist, metric: str) -> Spread:
    """Returns a finalist's gain over the baseline, seed by seed; positive is better.

    The two runs of a seed share its random draws.
    """
    pairs = zip(winner.figure.values, baseline.figure.values, strict=True)
    return spread([merit(metric, ours - theirs) for ours, theirs in pairs])


def conclude(winner: Finalist | None, finalists: Sequence[Finalist], metric: str) -> str:
    """Returns a conclusion: has the search found something better than the recipe?

    The gain counts only if the 95 % interval of its mean over the seeds excludes zero. The first
    finalist is the baseline, with the same seeds. `winner` is `None` if there is none.
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
    """Returns the (weak) conclusion if no finalist was run with new seeds.

    `best` is the best trial; `None`: none was completed.
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
