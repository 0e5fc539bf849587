"""Early ends of a run (interrupt, out of memory, lost process), each with the command to resume."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterator

import tensorflow as tf

from kerasft.console import LAUNCHED_WORKERS, resume_command
from kerasft.errors import first_line
from kerasft.recipe.conflicts import find_conflicts
from kerasft.run_dir import RunDir
from kerasft.runs.context import RunContext
from kerasft.training.checkpoints.checkpoint import latest_step
from kerasft.training.distribution.workers import WorkerLostError
from kerasft.training.loop.interrupt import Interrupted
from kerasft.training.loop.memory import OutOfMemoryError, naming_memory

_SMALLER = "a smaller training.batch_size, training.sequence_length or model.sequence_length"
_FACTOR = 4  # for the number of parts of a batch


@contextlib.contextmanager
def explaining_failures(context: RunContext, run_dir: RunDir) -> Iterator[None]:
    """Adds how to resume to an interrupt, an out-of-memory error or the loss of a process."""
    try:
        with advising_memory(context, run_dir):
            yield
    except KeyboardInterrupt as error:
        # A second Ctrl-C stops without saving: the latest checkpoint is resumed.
        saved = latest_step(run_dir.checkpoints_folder)
        number = getattr(error, "signal_number", signal.SIGINT)
        if not context.workers.is_chief:
            raise SystemExit(128 + number) from error  # the chief says how to resume
        raise Interrupted(run_dir.path, saved, number) from error
    except tf.errors.OpError as error:
        if context.workers.count == 1:
            raise
        raise WorkerLostError(
            f"Another process of this run is gone, so that it cannot go on: {first_line(error)}",
            fix="look for what it said itself (`kerasft launch` repeats it at the end), mend "
            "that, and start all of them again, with --resume.",
        ) from error
    finally:
        context.callbacks.close()


@contextlib.contextmanager
def advising_memory(context: RunContext, run_dir: RunDir) -> Iterator[None]:
    """Adds the command that resumes the run to an `OutOfMemoryError`."""
    try:
        with naming_memory(lambda: "a run"):
            yield
    except OutOfMemoryError as error:
        changes = _evaluation_changes if error.in_evaluation else _training_changes
        raise error.with_fix(_describe(context, run_dir, list(changes(context)))) from error


def _describe(context: RunContext, run_dir: RunDir, changes: list[str]) -> str:
    if not changes:
        return f"start a new run with {_SMALLER}."
    first, *others = changes
    command = resume_command(run_dir.path, first)
    workers = context.workers
    if workers.count > 1 and not (workers.is_chief and LAUNCHED_WORKERS in os.environ):
        command = f"the same command in all processes, with --resume and {first}"
    also = "".join(f", and if that is not enough {other}" for other in others)
    return f"go on with {command}{also}; or start a new run with {_SMALLER}."


def _evaluation_changes(context: RunContext) -> Iterator[str]:
    batch_size = context.recipe.evaluation.batch_size
    if batch_size > 1:
        yield f"evaluation.batch_size={max(1, batch_size // _FACTOR)}"


def _training_changes(context: RunContext) -> Iterator[str]:
    """Yields settings that make a step smaller and do not conflict with the run's others."""
    recipe = context.recipe
    parts = recipe.training.gradient_accumulation_steps
    most = -(-recipe.training.batch_size // context.strategy.num_replicas_in_sync)
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
