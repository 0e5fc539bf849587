"""Detects diverged training."""

from __future__ import annotations

import math
import statistics

from kerasft.errors import UserError

SKIP = "skip"  # value of training.on_divergence: leave the batch out and continue
_WINDOW = 100  # previous steps that a loss is compared with
_FEWEST = 20  # with fewer, nothing is compared


class DivergedError(UserError):
    """A step, counted from 1, whose loss or gradient shows that training diverged."""

    def __init__(self, step: int, loss: float, what: str, *, received: str, expected: str):
        super().__init__(
            what,
            received=received,
            expected=expected,
            fix="lower training.learning_rate, lengthen the warm-up, set training.global_clipnorm, "
            'or set training.on_divergence="skip". Checkpoints saved before this step are kept.',
        )
        self.step = step
        self.loss = loss


def check_finite(step: int, loss: float, norm: float, learning_rate: float) -> None:
    """Raises a `DivergedError` if a step's loss or gradient norm is not finite."""
    if math.isfinite(loss) and math.isfinite(norm):
        return
    raise DivergedError(
        step,
        loss,
        f"Training broke down at step {step}: the loss or its gradient is no longer a number.",
        received=f"loss {loss}, gradient norm {norm}, learning rate {learning_rate:.3g}",
        expected="finite numbers",
    )


def check_loss(step: int, loss: float, recent: list[float], factor: float) -> None:
    """Raises a `DivergedError` if a loss exceeds `factor` times the recent mean, else adds it."""
    mean = statistics.fmean(recent) if len(recent) >= _FEWEST else math.inf
    if loss > factor * mean:
        raise DivergedError(
            step,
            loss,
            f"The loss blew up at step {step}.",
            received=f"loss {loss:.4g}, where the last {len(recent)} steps have {mean:.4g}",
            expected=f"at most training.divergence_factor={factor:g} times as much",
        )
    recent.append(loss)
    del recent[:-_WINDOW]
