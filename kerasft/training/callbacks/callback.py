"""The `Callback` interface, which the other files of this folder implement."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class BatchStats:
    """Size of one global batch.

    Args:
        examples: Number of examples.
        tokens: Real tokens, without padding.
        positions: Computed tokens: examples times padded length.
        busy: Tokens computed by the replicas, each on its part of the batch.
        capacity: Tokens that all replicas could compute until the busiest one is done.
        altered: Examples changed by augmentation; `None` without augmentation. `tokens` and
            `positions` describe the original texts.
    """

    examples: int
    tokens: int
    positions: int
    busy: int = 0
    capacity: int = 0
    altered: int | None = None

    def speed(self, seconds: float) -> dict[str, float]:
        """Returns `examples_per_second`, `tokens_per_second` (real tokens) and the wasted shares.

        `padding_share` is the share of padding in the computed tokens; `idle_share` the share of
        time that replicas wait for the busiest one, derived from the batch, not from a clock.
        """
        return {
            "examples_per_second": self.examples / seconds,
            "tokens_per_second": self.tokens / seconds,
            "padding_share": 1 - self.tokens / self.positions,
            "idle_share": 1 - self.busy / self.capacity if self.capacity else 0.0,
        }


@dataclass(frozen=True)
class StepResult:
    """Result of one train step.

    Args:
        step: Steps done since the start of the run, this one included.
        loss: Mean loss of the global batch, before the update.
        learning_rate: Rate of this update.
        gradient_norm: Global norm of the gradient before clipping.
        seconds: Wall time of the step, including the wait for its batch.
        running: Metrics averaged since the start of the epoch, such as `loss` and `accuracy`.
        waited: Seconds spent waiting for the batch.
        norms: Norms by layer, from `NormWatch.end`; empty for a step that was not measured.
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
    """Base class for callbacks. Every method does nothing by default; override those you need.

    Evaluations also happen outside training: before `on_start` and after `close`.
    """

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Called when training begins.

        Args:
            start_step: Steps already done; more than 0 when resuming.
            total_steps: Steps of the whole run, including those.
            steps_per_epoch: Steps of an epoch.
        """

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Called after a step on a batch of `stats`."""

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Called at the end of an epoch.

        Args:
            epoch: Epochs done, this one included.
            step: Steps done.
            metrics: Averaged over the epoch, such as `loss` and `accuracy`.
        """

    def on_evaluation_start(self, split: str, num_examples: int) -> None:
        """Called when an evaluation begins."""

    def on_evaluation_batch(self, num_examples: int) -> None:
        """Called when `num_examples` more examples were evaluated."""

    def on_predictions(self, split: str, labels: np.ndarray, logits: np.ndarray) -> None:
        """Called with the predictions of a split, just before its `on_evaluation`.

        Args:
            split: `validation` or `test`.
            labels: Labels of the split, one row per example.
            logits: float `(num_examples, num_outputs)`.
        """

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Called at the end of an evaluation.

        Args:
            split: `validation` or `test`.
            step: Steps done.
            metrics: Keys without the split: `accuracy`, `log_loss`, `f1/<label>`, ...
            best: Whether it is the best so far.
        """

    def on_results(self, step: int, metrics: Mapping[str, float]) -> None:
        """Called when the run is over and its results are written.

        Args:
            step: Steps done.
            metrics: Keys with the split: `test/accuracy`, `validation/log_loss`, ...
        """

    def on_message(self, text: str) -> None:
        """Called with a message for people."""

    def close(self) -> None:
        """Called when training ends, also after an error. May be called more than once."""


class Callbacks(Callback):
    """Calls several callbacks of a run in order."""

    def __init__(self, callbacks: Iterable[Callback] = ()):
        self._callbacks = list(callbacks)
        self._writers: list[Callback] = []

    def replace_writers(self, writers: Iterable[Callback]) -> None:
        """Closes the callbacks that write files and replaces them, when training goes back.

        The new ones are called after the callbacks of the whole run.
        """
        for writer in self._writers:
            writer.close()
        self._writers = list(writers)

    def all(self) -> list[Callback]:
        """Returns the callbacks, in calling order."""
        return [*self._callbacks, *self._writers]

    def close(self) -> None:
        """Closes every callback, even if one of them fails."""
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
