"""Writes the leaderboard's files from finished GLUE runs, and reports files that are missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from kerasft.benchmarks.glue import leaderboard
from kerasft.benchmarks.glue.tasks import GlueTask, LeaderboardFile, task_of
from kerasft.data.sources.source import Source, load_source
from kerasft.errors import UserError
from kerasft.run_dir import telling_os_errors
from kerasft.runs.evaluate import predict_source
from kerasft.studies.series import Finished
from kerasft.training.callbacks.callback import Callback


class Written(NamedTuple):
    """A submission that was written.

    Attributes:
        archive: The zip; `None` if there is no file to put in.
        files: The files written now.
        kept: Files that an earlier command left in the folder; they are in the archive, too.
        missing: Files that the leaderboard also requires.
    """

    archive: Path | None
    files: tuple[str, ...]
    kept: tuple[str, ...]
    missing: tuple[str, ...]


def prepare_folder(folder: Path) -> None:
    """Makes a submission's folder and checks its files, before runs that may take hours."""
    with telling_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if leaderboard.files_in(folder):
        leaderboard.validate_submission(folder)


def find_test_data(
    task: GlueTask, data_dir: str | None, log: Callable[[str], object]
) -> list[tuple[LeaderboardFile, Source]]:
    """Finds the test data of a task; logs which leaderboard files will be missing without it.

    `data_dir` is the only TFDS folder to search, as in the recipe.
    """
    found = []
    for file in task.files:
        source, reason = _find(file, data_dir)
        if source is None:
            log(f"{file.name} cannot be written: {reason}")
        else:
            found.append((file, source))
    return found


def write_submission(
    runs: Iterable[Finished],
    folder: Path,
    callbacks: Sequence[Callback],
    log: Callable[[str], object],
) -> Written:
    """Predicts the test data of tasks, writes the leaderboard's files and zips the folder.

    Args:
        runs: The run to predict with, one per task.
        folder: From `prepare_folder`. Files of other tasks in it are kept.
        callbacks: Notified of the progress.
        log: Called with messages about files written and missing.

    Raises:
        UserError: If the model has diverged, or the dataset is not the official one.
    """
    written = []
    for run in runs:
        data = find_test_data(task_of(run.recipe), run.recipe.data.data_dir, log)
        for file, source in data:
            outputs = predict_source(run.run_dir, source, file.split, callbacks)
            rows = source.read_column(file.split, "idx")
            answers = leaderboard.answers_of(file, outputs)
            leaderboard.write_answers(
                folder, file, leaderboard.in_official_order(file, answers, rows)
            )
            written.append(file.name)
            log(f"{file.name}: {len(answers):,} answers with seed {run.seed}, {run.run_dir.path}.")
    return _finish(folder, tuple(written), log)


def _finish(folder: Path, written: tuple[str, ...], log: Callable[[str], object]) -> Written:
    present = leaderboard.files_in(folder)
    if not present:
        log(f"There is nothing to hand in: {folder} holds none of the leaderboard's files.")
        return Written(None, (), (), tuple(leaderboard.FILES))
    archive = leaderboard.write_archive(folder)
    checked = leaderboard.validate_submission(archive)
    kept = tuple(name for name in checked.files if name not in written)
    if kept:
        log(f"Also in {archive}, from before: {', '.join(kept)}.")
    if checked.missing:
        log(f"The leaderboard wants these as well: {', '.join(checked.missing)}.")
    return Written(archive, written, kept, checked.missing)


def _find(file: LeaderboardFile, data_dir: str | None) -> tuple[Source | None, str]:
    """Returns the source of a file's texts, or `None` and the reason."""
    try:
        source = load_source(file.dataset, data_dir)
    except UserError as error:
        return None, str(error)
    if not source.has_split(file.split):
        return None, f"{file.dataset}, as it lies here, has no split {file.split}."
    count = source.num_examples(file.split)
    if count != file.num_examples:
        wanted = f"{count:,} of {file.num_examples:,} examples"
        return None, f"the split {file.split} of {file.dataset} has {wanted} here."
    return source, ""
