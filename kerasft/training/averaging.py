"""Averages of weights: over time (EMA), and of several evaluated steps (a soup)."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasft.metrics.facts import LOWER_IS_BETTER
from kerasft.training.checkpoint import (
    assign_named,
    checkpoints_in,
    named_values,
    read_checkpoint,
    save_weights,
    step_of,
    weights_path,
)


@contextlib.contextmanager
def counted_weights(model) -> Iterator[None]:
    """Puts the weights that count in the place of those that a step goes on from, while entered.

    The moving average, where the optimizer keeps one; else what the weights are with all that rows
    of a lazily updated table owe. Afterwards training goes on as if nobody had looked.

    Args:
        model: A compiled `FineTuner` after at least one step.
    """
    optimizer, pairs = model.optimizer, model.owed()
    if optimizer.use_ema:
        averages = optimizer._model_variables_moving_average
        pairs = list(zip(model.trainable_variables, averages, strict=True))
    kept = [weight.numpy() for weight, _ in pairs]
    for weight, value in pairs:
        weight.assign(value)
    try:
        yield
    finally:
        for (weight, _), value in zip(pairs, kept, strict=True):
            weight.assign(value)


def candidate_steps(
    evaluations: Sequence[Mapping[str, float]], monitor: str, *, count: int, choose: str
) -> list[int]:
    """Returns the evaluated steps whose weights are averaged in the end, in ascending order.

    Args:
        evaluations: Metrics and `step` of each evaluation, in their order.
        monitor: The validation metric, as `validation/accuracy`.
        count: How many at most.
        choose: `best` by the monitor, of equal ones the earlier; or `last`.
    """
    if choose == "last":
        return [int(evaluation["step"]) for evaluation in evaluations[-count:]]
    name = monitor.removeprefix("validation/")
    sign = 1 if name in LOWER_IS_BETTER else -1
    # NaN, as of a correlation that is undefined, comes last.
    ranked = sorted(evaluations, key=lambda e: (np.isnan(e[name]), sign * np.nan_to_num(e[name])))
    return sorted(int(evaluation["step"]) for evaluation in ranked[:count])


class Soup:
    """Keeps the weights of several evaluated steps, to be averaged in the end.

    The uniform soup of Wortsman et al. 2022, "Model Soups", within one run (as Izmailov et al.
    2018 average the last steps).

    Args:
        folder: Where they are kept until then.
        monitor: The validation metric, as `validation/accuracy`.
        count: How many at most; 1 keeps none.
        choose: `best` or `last`.
    """

    def __init__(self, folder: Path, *, monitor: str, count: int, choose: str):
        self.folder = folder
        self.monitor = monitor
        self.count = count
        self.choose = choose

    def keep(self, weights: Sequence, evaluations: Sequence[Mapping[str, float]]) -> None:
        """Keeps the weights of the latest evaluation if they count; removes what does no more."""
        if self.count == 1:
            return
        kept = self._steps(evaluations)
        latest = int(evaluations[-1]["step"])
        if latest in kept:
            save_weights(self.folder, latest, weights)
        for path in checkpoints_in(self.folder):
            if step_of(path) not in kept:
                shutil.rmtree(path, ignore_errors=True)

    @contextlib.contextmanager
    def average_of(
        self, weights: Sequence, evaluations: Sequence[Mapping[str, float]]
    ) -> Iterator[list[int]]:
        """Gives the weights their average while it is entered; yields the steps it is of.

        Raises:
            DamagedCheckpointError: If one that was kept cannot be read.
        """
        steps = self._steps(evaluations)
        present = named_values(weights)
        assign_named(weights, self._mean(steps, present))
        try:
            yield steps
        finally:
            assign_named(weights, present)

    def clear(self) -> None:
        """Removes what was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _steps(self, evaluations: Sequence[Mapping[str, float]]) -> list[int]:
        return candidate_steps(evaluations, self.monitor, count=self.count, choose=self.choose)

    def _mean(self, steps: Sequence[int], like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        totals = {name: np.zeros(value.shape) for name, value in like.items()}
        for step in steps:
            _, values = read_checkpoint(weights_path(self.folder, step))
            for name, value in values.items():
                totals[name] += value
        return {
            name: (total / len(steps)).astype(like[name].dtype) for name, total in totals.items()
        }
