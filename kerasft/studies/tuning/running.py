"""Runs a study from its plan: processes, files, results."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.keras_tuner.board import write_board
from kerasft.studies.tuning.keras_tuner.proposer import Proposer
from kerasft.studies.tuning.keras_tuner.service import join_study, offered
from kerasft.studies.tuning.plan import BASE, Plan
from kerasft.studies.tuning.report import write_results, write_trials
from kerasft.studies.tuning.searching import Runner
from kerasft.studies.tuning.study import Found, Study
from kerasft.studies.tuning.trial import Trials


def run_study(
    plan: Plan,
    *,
    log: Callable[[str], object] = lambda line: None,
    runs_folder: str | Path = "runs",
    runner: Runner | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Found, RunDir]:
    """Runs a study to its end, from where an earlier session stopped.

    Args:
        plan: From `make_plan`.
        log: Called with progress messages.
        runs_folder: Where the folder of a new study is made.
        runner: Runs its jobs; `None`: as processes on this machine.
        clock: Returns seconds, increasing.

    Returns:
        The result, and the folder with `trials.csv`, `result.json` and `best.toml`.

    Raises:
        UserError: For a mistake in recipe or data, or a budget that is too small.
        InterruptRequested: After Ctrl-C or SIGTERM; the study can be resumed.
    """
    gpus = visible_gpus()
    _check_devices(plan, gpus)
    if plan.folder is not None:
        with plan.folder.lock():  # before anything of the earlier session is overwritten
            pass
    folder = plan.open(runs_folder)
    with folder.lock():
        if runner is None:
            runner = build_runner(plan, folder, gpus)
        names = [dimension.name for dimension in plan.recipe.tuning]
        study = Study(plan, folder, runner, log=log, clock=clock)
        log(f"The search is kept in {folder.path}.")
        board = folder.path / "tensorboard"
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: write_trials(folder, study.tried(), names))

            def begun(proposer: Proposer) -> None:
                if not board.exists():
                    write_board(board, plan.recipe.tuning, [study.search.settled.metric])
                if plan.service is not None:
                    stack.enter_context(offered(proposer, plan.service.address))

            found = study.run(begun)
        write_results(folder, found)
    return found, folder


def join(plan: Plan, *, log: Callable[[str], object] = lambda line: None) -> None:
    """Runs trials of a study led by another machine, until there are no more."""
    runner = build_runner(plan, plan.folder, visible_gpus())
    join_study(plan, runner, plan.service.tuner_id, log=log)


def build_runner(plan: Plan, folder: RunDir, gpus: tuple[str, ...]) -> Trials:
    """Returns a runner that runs the jobs of a study as processes on this machine."""
    base = plan.source or (str(folder.path / BASE),)
    return Trials(base, num_workers=plan.workers, gpus=gpus)


def visible_gpus() -> tuple[str, ...]:
    """Returns the ids of the visible GPUs, without using them."""
    import tensorflow as tf

    count = len(tf.config.list_physical_devices("GPU"))
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    ids = named.split(",") if named else map(str, range(count))
    return tuple(ids)[:count]


def _check_devices(plan: Plan, gpus: tuple[str, ...]) -> None:
    if gpus and plan.workers > len(gpus):
        raise UserError(
            "Each worker needs a GPU of its own.",
            received=f"--workers {plan.workers}",
            expected=f"at most {len(gpus)}, as many as there are GPUs",
        )
