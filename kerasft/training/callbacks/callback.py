"""The interface of callbacks: what a run reports while it runs.

The other files of this folder implement it: `history` (history.csv), `terminal`, `tensorboard`,
`hparams`, `profiler`, `wandb`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BatchStats:
    """What one global batch held.

    Args:
        examples: Number of examples.
        tokens: Real tokens, without padding.
        positions: Tokens computed: examples times padded length.
        busy: Tokens that the replicas compute, each its part of the batch.
        capacity: Tokens that they could compute until the one with most is done.
        altered: How many of the examples were altered; `None` where nothing augments. Tokens and
            positions are those of the texts as they were.
    """

    examples: int
    tokens: int
    positions: int
    busy: int = 0
    capacity: int = 0
    altered: int | None = None

    def speed(self, seconds: float) -> dict[str, float]:
        """Returns `examples_per_second`, `tokens_per_second` (real ones) and what was in vain.

        `padding_share` is that of padding in what is computed, `idle_share` that of the time in
        which replicas wait for the one with most to compute. It follows from the batch, not from a
        clock.
        """
        return {
            "examples_per_second": self.examples / seconds,
            "tokens_per_second": self.tokens / seconds,
            "padding_share": 1 - self.tokens / self.positions,
            "idle_share": 1 - self.busy / self.capacity if self.capacity else 0.0,
        }


@dataclass(frozen=True)
class StepResult:
    """What one step did.

    Args:
        step: Steps done since the start of the run, this one included.
        loss: Mean loss of the global batch, before the update.
        learning_rate: Rate of this update.
        gradient_norm: Global norm of the gradient before clipping.
        seconds: Wall time of the step, waiting for its batch included.
        running: Metrics averaged since the start of the epoch, such as `loss` and `accuracy`.
        waited: Seconds of these that passed waiting for the batch.
        norms: By layer, as `NormWatch.end` returns them; of a step that was not measured none.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    running: dict[str, float]
    waited: float = 0.0
    norms: Mapping[str, float] = field(default_factory=dict)


class Callback:
    """What happens in a run. Every method does nothing: a subclass overrides what it wants.

    Evaluations also happen outside of training: before `on_start` and after `close`.
    """

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Training begins.

        Args:
            start_step: Steps done before: 0, or more when resuming.
            total_steps: Steps of the whole run, those included.
            steps_per_epoch: Steps of an epoch.
        """

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """A step was done, on a batch of `stats`."""

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """An epoch ended.

        Args:
            epoch: Epochs done, this one included.
            step: Steps done.
            metrics: Training metrics averaged over the epoch, such as `loss` and `accuracy`.
        """

    def on_evaluation_start(self, split: str, num_examples: int) -> None:
        """An evaluation begins."""

    def on_evaluation_batch(self, num_examples: int) -> None:
        """So many more examples were evaluated."""

    def on_predictions(self, split: str, labels: np.ndarray, logits: np.ndarray) -> None:
        """A split was predicted; `on_evaluation` of it comes next.

        Args:
            split: `validation` or `test`.
            labels: Its labels, one row an example.
            logits: float `(num_examples, num_outputs)`.
        """

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """An evaluation ended.

        Args:
            split: `validation` or `test`.
            step: Steps done.
            metrics: Keys without the split: `accuracy`, `log_loss`, `f1/<label>`, ...
            best: Whether it is the best so far.
        """

    def on_results(self, step: int, metrics: Mapping[str, float]) -> None:
        """The run is over, and its results are written.

        Args:
            step: Steps done.
            metrics: Keys with the split: `test/accuracy`, `validation/log_loss`, ...
        """

    def on_message(self, text: str) -> None:
        """Something worth a line to people."""

    def close(self) -> None:
        """Training ended, well or not. May be called more than once."""


class Callbacks(Callback):
    """Calls several callbacks, in their order.

    Args:
        callbacks: Those of a whole run.
    """

    def __init__(self, callbacks: Iterable[Callback] = ()):
        self._callbacks = list(callbacks)
        self._writers: list[Callback] = []

    def replace_writers(self, writers: Iterable[Callback]) -> None:
        """Closes those that write files, and calls others: training goes back to an earlier step.

        Args:
            writers: Called after the callbacks of the whole run.
        """
        for writer in self._writers:
            writer.close()
        self._writers = list(writers)

    def all(self) -> list[Callback]:
        """Returns whom it calls."""
        return [*self._callbacks, *self._writers]

    def close(self) -> None:
        """Closes every callback, also when one of them fails."""
        with contextlib.ExitStack() as stack:
            for callback in reversed(self.all()):
                stack.callback(callback.close)


def _call_all(name: str) -> Callable[..., None]:
    def call(self: Callbacks, *args: object, **kwargs: object) -> None:
        for callback in self.all():
            getattr(callback, name)(*args, **kwargs)

    return call


for _name in [name for name in vars(Callback) if name.startswith("on_")]:
    setattr(Callbacks, _name, _call_all(_name))
