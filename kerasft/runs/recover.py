"""Going back: what a run does when its training breaks down and it is to go on.

The steps that diverged stand in `divergences.json` of the run directory, so that a run that is
resumed leaves out the same batches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.training.loop.divergence import DivergedError

if TYPE_CHECKING:
    from kerasft.runs.session import Session

SKIP = "skip"  # of training.on_divergence
_RECORD = "divergences.json"


def read_divergences(run_dir: RunDir | None) -> list[dict[str, object]]:
    """Returns the steps whose batch is left out, each with its loss and its examples."""
    if run_dir is None or not (run_dir.path / _RECORD).exists():
        return []
    return run_dir.read_json(_RECORD)


def leave_out(session: Session, error: DivergedError) -> None:
    """Notes that the batch of a step is left out from now on, where the recipe asks for it.

    Args:
        session: With its plan.
        error: Of the step.

    Raises:
        DivergedError: The recipe says to stop.
        UserError: So many batches were left out already.
    """
    settings, run_dir = session.recipe.training, session.run_dir
    if settings.on_divergence != SKIP:
        raise error
    left_out = read_divergences(run_dir)
    if len(left_out) >= settings.max_divergences:
        raise UserError(
            f"{error} It has gone back {len(left_out)} times already, and gives up.",
            expected=f"no more than training.max_divergences={settings.max_divergences}",
        ) from error
    examples = session.data.examples("train")[1][session.plan.batch(error.step - 1)]
    left_out.append({"step": error.step, "loss": error.loss, "examples": examples.tolist()})
    run_dir.write_json(_RECORD, left_out)
    session.callbacks.on_message(
        f"Step {error.step} broke down (loss {error.loss:.4g}): going back to the latest "
        f"checkpoint. Its {len(examples)} examples are left out; {run_dir.path / _RECORD} names "
        "them."
    )
