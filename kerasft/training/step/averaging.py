"""Averages of weights: over time (EMA), and of several evaluated steps (a soup)."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasft.training.checkpoints.checkpoint import (
    assign_named,
    checkpoints_in,
    named_values,
    read_checkpoint,
    save_weights,
    saved_states,
    step_of,
    weights_path,
)
from kerasft.training.loop.ranking import Ranking
from kerasft.training.step.private import moving_averages


@contextlib.contextmanager
def counted_weights(model) -> Iterator[None]:
    """Puts the weights that count in the place of those that a step goes on from, while entered.

    The moving average, where the optimizer keeps one; else what the weights are with all that rows
    of a lazily updated table owe. Afterwards training goes on as if nobody had looked.
    """
    optimizer, pairs = model.optimizer, model.owed()
    if optimizer.use_ema:
        pairs = list(zip(model.trainable_variables, moving_averages(optimizer), strict=True))
    kept = [weight.numpy() for weight, _ in pairs]
    for weight, value in pairs:
        weight.assign(value)
    try:
        yield
    finally:
        for (weight, _), value in zip(pairs, kept, strict=True):
            weight.assign(value)


def candidate_steps(
    evaluations: Sequence[Mapping[str, float]], ranking: Ranking, *, count: int, choose: str
) -> list[int]:
    """Returns the evaluated steps whose weights are averaged in the end, in ascending order.

    Args:
        evaluations: Metrics and `step` of each evaluation, in their order.
        ranking: Which evaluation is better than which.
        count: How many at most.
        choose: `best` by the ranking, or `last`.
    """
    if choose == "last":
        return [int(evaluation["step"]) for evaluation in evaluations[-count:]]
    ranked = sorted(evaluations, key=ranking.key, reverse=True)
    return sorted(int(evaluation["step"]) for evaluation in ranked[:count])


def unaveraged(
    evaluations: Sequence[Mapping[str, float]], averaged_step: int
) -> list[Mapping[str, float]]:
    """Returns the evaluations whose weights can still be averaged: those after the last average."""
    return [evaluation for evaluation in evaluations if evaluation["step"] > averaged_step]


class Soup:
    """Keeps the weights of several evaluated steps, to be averaged in the end.

    The uniform soup of Wortsman et al. 2022, "Model Soups", within one run (as Izmailov et al.
    2018 average the last steps).

    Args:
        checkpoints: The run's folder of checkpoints; they are kept inside it until then.
        ranking: Which evaluation is better than which.
        count: How many at most; 1 keeps none.
        choose: `best` or `last`.
    """

    def __init__(self, checkpoints: Path, *, ranking: Ranking, count: int, choose: str):
        self.checkpoints = checkpoints
        self.folder = checkpoints / "candidates"
        self.ranking = ranking
        self.count = count
        self.choose = choose

    def keep(self, weights: Sequence, evaluations: Sequence[Mapping[str, float]]) -> None:
        """Keeps the weights of the latest evaluation if they count; removes what does no more.

        What a checkpoint counts on, to which training may go back, stays.

        Args:
            weights: Of the latest evaluation.
            evaluations: Metrics and `step` of each evaluation since the last averaging.
        """
        if self.count == 1:
            return
        kept = self._steps(evaluations)
        latest = int(evaluations[-1]["step"])
        if latest in kept:
            save_weights(self.folder, latest, weights)
        self._discard_but(kept)

    def _discard_but(self, kept: Collection[int]) -> None:
        """Removes the weights of other steps, but for those that a checkpoint counts on."""
        counted_on = {
            step
            for state in saved_states(self.checkpoints)
            for step in self._steps(unaveraged(state["evaluations"], state.get("averaged_step", 0)))
        }
        for path in checkpoints_in(self.folder):
            if step_of(path) not in {*kept, *counted_on}:
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
        """Removes what was kept, but for what a checkpoint counts on."""
        self._discard_but(())
        if not checkpoints_in(self.folder):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _steps(self, evaluations: Sequence[Mapping[str, float]]) -> list[int]:
        return candidate_steps(evaluations, self.ranking, count=self.count, choose=self.choose)

    def _mean(self, steps: Sequence[int], like: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        totals = {name: np.zeros(value.shape) for name, value in like.items()}
        for step in steps:
            _, values = read_checkpoint(weights_path(self.folder, step))
            for name, value in values.items():
                totals[name] += value
        return {
            name: (total / len(steps)).astype(like[name].dtype) for name, total in totals.items()
        }
