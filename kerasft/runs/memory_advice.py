"""How to resume a run whose memory ran out: the settings that may change, as a command."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kerasft.console import LAUNCHED_WORKERS, resume_command
from kerasft.recipe.conflicts import find_conflicts
from kerasft.training.loop.out_of_memory import OutOfMemoryError, naming_memory

if TYPE_CHECKING:
    from kerasft.runs.session import Session

_SMALLER = "a smaller training.batch_size, training.sequence_length or model.sequence_length"
_FACTOR = 4  # of the parts that a batch is computed in


@contextlib.contextmanager
def advising_memory(session: Session) -> Iterator[None]:
    """Adds the command that resumes a session's run to the error that its memory ran out.

    Raises:
        OutOfMemoryError: Memory ran out.
    """
    try:
        with naming_memory(lambda: "a run"):
            yield
    except OutOfMemoryError as error:
        changes = _evaluation_changes if error.in_evaluation else _training_changes
        raise error.with_fix(_describe(session, list(changes(session)))) from error


def _describe(session: Session, changes: list[str]) -> str:
    if not changes:
        return f"start a new run with {_SMALLER}."
    first, *others = changes
    command = resume_command(session.run_dir.path, first)
    workers = session.workers
    if workers.count > 1 and not (workers.is_chief and LAUNCHED_WORKERS in os.environ):
        command = f"the same command in all processes, with --resume and {first}"
    also = "".join(f", and if that is not enough {other}" for other in others)
    return f"go on with {command}{also}; or start a new run with {_SMALLER}."


def _evaluation_changes(session: Session) -> Iterator[str]:
    batch_size = session.recipe.evaluation.batch_size
    if batch_size > 1:
        yield f"evaluation.batch_size={max(1, batch_size // _FACTOR)}"


def _training_changes(session: Session) -> Iterator[str]:
    """Yields what makes a step smaller and may stand beside the run's other settings."""
    recipe = session.recipe
    parts = recipe.training.gradient_accumulation_steps
    most = -(-recipe.training.batch_size // session.strategy.num_replicas_in_sync)
    changes = {
        ("training", "gradient_accumulation_steps"): min(most, _FACTOR * parts),
        ("performance", "gradient_checkpointing"): True,
    }
    for (section, key), value in changes.items():
        before = getattr(recipe, section)
        changed = dataclasses.replace(before, **{key: value})
        fits = not any(find_conflicts(dataclasses.replace(recipe, **{section: changed})))
        if changed != before and fits:
            yield f"{section}.{key}={str(value).lower()}"
