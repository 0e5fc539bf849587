"""Weight averaging: over time (EMA), and of several evaluated steps (model soup)."""

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
    """Context manager that swaps in the weights used for evaluation; restores the others on exit.

    These are the EMA if the optimizer keeps one, else the settled values of a lazily updated table.
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
    """Returns at most `count` evaluated steps whose weights are averaged, in ascending order.

    `evaluations` have metrics and `step` in order; `choose` is `best` by the ranking, or `last`.
    """
    if choose == "last":
        return [int(evaluation["step"]) for evaluation in evaluations[-count:]]
    ranked = sorted(evaluations, key=ranking.key, reverse=True)
    return sorted(int(evaluation["step"]) for evaluation in ranked[:count])


def unaveraged(
    evaluations: Sequence[Mapping[str, float]], averaged_step: int
) -> list[Mapping[str, float]]:
    """Returns the evaluations after the last average, whose weights can still be averaged."""
    return [evaluation for evaluation in evaluations if evaluation["step"] > averaged_step]


class Soup:
    """Keeps the weights of up to `count` evaluated steps, to average them at the end; 1 keeps none.

    The uniform soup of Wortsman et al. 2022, "Model Soups", within one run (as Izmailov et al. 2018
    average the last steps). They are kept in the folder `checkpoints`; see `candidate_steps` for
    the other arguments.
    """

    def __init__(self, checkpoints: Path, *, ranking: Ranking, count: int, choose: str):
        self.checkpoints = checkpoints
        self.folder = checkpoints / "candidates"
        self.ranking = ranking
        self.count = count
        self.choose = choose

    def keep(self, weights: Sequence, evaluations: Sequence[Mapping[str, float]]) -> None:
        """Keeps the weights of the latest evaluation if they are candidates; removes the others.

        Weights that a checkpoint refers to stay, since training may go back to it. `evaluations`
        have metrics and `step` of each evaluation since the last average.
        """
        if self.count == 1:
            return
        kept = self._steps(evaluations)
        latest = int(evaluations[-1]["step"])
        if latest in kept:
            save_weights(self.folder, latest, weights)
        self._discard_but(kept)

    def _discard_but(self, kept: Collection[int]) -> None:
        """Removes the weights of other steps, except those that a checkpoint refers to."""
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
        """Context manager that sets the weights to their average; yields the averaged steps.

        Raises:
            DamagedCheckpointError: If kept weights cannot be read.
        """
        steps = self._steps(evaluations)
        present = named_values(weights)
        assign_named(weights, self._mean(steps, present))
        try:
            yield steps
        finally:
            assign_named(weights, present)

    def clear(self) -> None:
        """Removes all kept weights, except those that a checkpoint refers to."""
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
