"""The finals of a search: finalists with new seeds, the winner by mean, and the conclusion."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from kerasft.metric import is_defined, lower_is_better, merit, rank
from kerasft.metrics.spread import Spread, interval_of_mean, show_figure, spread
from kerasft.studies.tuning.journal import COMPLETED, JobResult

BASELINE = "baseline"


@dataclasses.dataclass(frozen=True)
class Tried:
    """Settings that were tried, with one result, or as a finalist one for each new seed.

    `epochs` is how long it trained, of Hyperband only.
    """

    job: str
    values: Mapping[str, Any]
    outcomes: tuple[JobResult, ...]
    epochs: int | None = None

    @property
    def outcome(self) -> JobResult:
        """The only result."""
        return self.outcomes[0]

    @property
    def figure(self) -> Spread:
        """The validation metric over the seeds; undefined if one of them failed."""
        return spread([outcome.value for outcome in self.outcomes])


def choose_finalists(tried: Sequence[Tried], count: int, metric: str) -> list[Tried]:
    """Returns the best trials (`count` at most), each with other settings, without the baseline.

    Trials that trained longest come first. Ties go to the lower validation loss, then to the
    earlier trial. Trials with an undefined metric are excluded.
    """

    def ranked(trial: Tried) -> tuple:
        return trial.epochs or 0, *rank(metric, trial.outcome.value, trial.outcome.loss)

    chosen: list[Tried] = []
    for trial in sorted(tried, key=ranked, reverse=True):
        is_usable = trial.outcome.status == COMPLETED and is_defined(trial.outcome.value)
        is_other = trial.job != BASELINE and all(trial.values != t.values for t in chosen)
        if is_usable and is_other:
            chosen.append(trial)
    return chosen[:count]


def choose_winner(finalists: Sequence[Tried], metric: str) -> Tried | None:
    """Returns the finalist with the best mean of a metric; `None`: each failed with some seed.

    Ties go to the lower mean validation loss, then to the earlier finalist.
    """

    def ranked(finalist: Tried) -> tuple:
        loss = spread([outcome.loss for outcome in finalist.outcomes]).mean
        return rank(metric, finalist.figure.mean, loss)

    return max((f for f in finalists if is_defined(f.figure.mean)), key=ranked, default=None)


def best_run(winner: Tried, metric: str) -> str | None:
    """Returns the run of a finalist's best seed on validation; `None`: all are undefined.

    Ties go to the lower validation loss, then to the earlier seed.
    """
    usable = [outcome for outcome in winner.outcomes if is_defined(outcome.value)]
    best = max(usable, key=lambda o: rank(metric, o.value, o.loss), default=None)
    return best and best.run_dir


def conclude(winner: Tried | None, finalists: Sequence[Tried], metric: str) -> str:
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


def _compare(winner: Tried, baseline: Tried, metric: str) -> str:
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
    # Seed by seed: the two runs of a seed share its random draws.
    pairs = zip(winner.figure.values, baseline.figure.values, strict=True)
    gain = spread([merit(metric, ours - theirs) for ours, theirs in pairs])
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
