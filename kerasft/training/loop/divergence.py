"""Training that breaks down: how it is noticed."""

from __future__ import annotations

import math
import statistics

from kerasft.errors import UserError

SKIP = "skip"  # of training.on_divergence: leave the batch out, and go on
_WINDOW = 100  # steps whose losses a loss is compared with
_FEWEST = 20  # before which nothing is compared


class DivergedError(UserError):
    """A step whose loss or gradient says that training broke down.

    Args:
        step: The step, from 1.
        loss: Its loss.
        what: One sentence: what is wrong.
        received: What was found.
        expected: What would have been right.
    """

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
    """Checks that a step's loss and gradient are numbers.

    Raises:
        DivergedError: They are not.
    """
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
    """Checks that a loss is not many times that of the steps before, and enters it.

    Raises:
        DivergedError: It is.
    """
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
