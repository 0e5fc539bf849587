"""The files of GLUE's leaderboard: predictions in its order and words, zipped and checked.

Each is a table `index<TAB>prediction` with one row per example of an official test file, in that
file's order. TFDS shuffles, but keeps the official row number in its column `idx`.
"""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from kerasft.benchmarks.glue.tasks import FILES, LeaderboardFile
from kerasft.errors import UserError, nearest
from kerasft.run_dir import write_atomically

ARCHIVE = "submission.zip"
LOWEST, HIGHEST = 0.0, 5.0  # of a regression target
_HEADER = "index\tprediction"
_SHOWN = 5  # faults reported for one submission
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the zip format's zero: equal files give equal archives


class Submission(NamedTuple):
    """A valid submission: the `files` it has, and those `missing` of all eleven."""

    files: tuple[str, ...]
    missing: tuple[str, ...]


def answers_of(file: LeaderboardFile, outputs: Mapping[str, object]) -> list[str]:
    """Returns decoded predictions in the leaderboard's words.

    Args:
        file: The leaderboard file they are for.
        outputs: Decoded predictions: `label` (text) or `value` (number), one per example.

    Raises:
        ValueError: If a class is not one of the task's.
        UserError: If a number is not finite.
    """
    if not file.answers:
        return [_number(float(value)) for value in outputs["value"]]
    labels = [_text(label) for label in outputs["label"]]
    strange = sorted(set(labels) - file.answers.keys())
    if strange:
        raise ValueError(f"{file.name} has no such class: {strange}, but {list(file.answers)}")
    return [file.answers[label] for label in labels]


def in_official_order(
    file: LeaderboardFile, answers: Sequence[str], rows: Sequence[int]
) -> list[str]:
    """Sorts predictions by `rows`, each example's row in the official test file (TFDS's `idx`).

    Raises:
        UserError: If the rows are not 0, 1, 2, ... up to the leaderboard's count.
    """
    if len(answers) != len(rows):
        raise ValueError(f"{len(answers)} answers to {len(rows)} examples of {file.name}")
    by_row = {int(row): answer for row, answer in zip(rows, answers, strict=True)}
    if len(rows) != file.num_examples or by_row.keys() != set(range(file.num_examples)):
        raise UserError(
            f"The split {file.split} of {file.dataset} is not the official one: {file.name} cannot "
            "be written.",
            received=f"{len(rows)} examples, {len(by_row)} different values of idx",
            expected=f"idx from 0 to {file.num_examples - 1}, each once",
            fix="prepare the dataset anew with TFDS.",
        )
    return [by_row[row] for row in range(file.num_examples)]


def write_answers(folder: Path, file: LeaderboardFile, answers: Sequence[str]) -> Path:
    """Writes one leaderboard file, replacing an earlier one; returns its path.

    Predictions are given in the official order.
    """
    rows = "".join(f"{row}\t{answer}\n" for row, answer in enumerate(answers))
    path = folder / file.name
    write_atomically(path, f"{_HEADER}\n{rows}")
    return path


def files_in(folder: Path) -> tuple[str, ...]:
    """Returns the names of the leaderboard files in a folder."""
    return tuple(name for name in FILES if (folder / name).is_file())


def write_archive(folder: Path) -> Path:
    """Zips the leaderboard files of a folder into its `submission.zip`; returns the path.

    Other files are left out. Equal files give an equal archive.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in files_in(folder):
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, (folder / name).read_bytes())
    path = folder / ARCHIVE
    write_atomically(path, buffer.getvalue())
    return path


def validate_submission(folder_or_zip: str | Path) -> Submission:
    """Checks a submission: names, header, number and order of the rows, and every prediction.

    Example:
    ```python
    validate_submission("submission").missing  # ('QQP.tsv',)
    ```

    Args:
        folder_or_zip: A folder with the files, or the zip to submit. In a folder other files are
            ignored; a zip may contain no others.

    Returns:
        The files present and those missing. Missing files are no error here, but the leaderboard
        refuses an incomplete submission.

    Raises:
        UserError: If there is no such file or folder, or it has faults; the first five are listed.
    """
    path = Path(folder_or_zip)
    contents = _read_folder(path) if path.is_dir() else _read_archive(path)
    found = {name: content for name, content in contents if name in FILES}
    faults = [
        f"{name}: {fault}" for name, text in found.items() for fault in _faults(FILES[name], text)
    ]
    if not found:
        faults.append(f"none of the leaderboard's files is there ({', '.join(FILES)})")
    _refuse(path, faults)
    files = tuple(name for name in FILES if name in found)
    return Submission(files, tuple(name for name in FILES if name not in found))


def _read_folder(folder: Path) -> list[tuple[str, bytes]]:
    return [(name, (folder / name).read_bytes()) for name in files_in(folder)]


def _read_archive(path: Path) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            _refuse(path, list(_name_faults(names)))
            return [(name, archive.read(name)) for name in names]
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            "The submission cannot be read.",
            received=str(path),
            expected=f"a folder with the leaderboard's files, or a {ARCHIVE}",
        ) from error


def _name_faults(names: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys(names):
        if name not in FILES:
            inner = name.rpartition("/")[2]
            flat = " (it must lie at the top, in no folder)" if inner in FILES else ""
            yield f"{name} is none of the leaderboard's files{flat}.{nearest(name, FILES)}"
        elif names.count(name) > 1:
            yield f"{name} is there {names.count(name)} times"


def _refuse(path: Path, faults: Sequence[str]) -> None:
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise UserError(
            f"The submission {path} has faults: {'; '.join([*faults[:_SHOWN], *more])}.",
            expected=f"files of two columns, {_HEADER!r}, with an answer for each example",
        )


def _faults(file: LeaderboardFile, content: bytes) -> Iterator[str]:
    """Yields the faults of one file, the first of each kind."""
    try:
        header, *rows = content.decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        yield "not UTF-8 text"
        return
    if header != _HEADER:
        yield f"line 1 is {header[:40]!r} instead of {_HEADER!r}"
        return
    if len(rows) != file.num_examples:
        yield f"{len(rows):,} answers instead of {file.num_examples:,}"
    for number, row in enumerate(rows):
        index, _, answer = row.partition("\t")
        if index != str(number):
            yield f"line {number + 2} has index {index[:20]!r} instead of {number}"
            return
        if not _is_answer(file, answer):
            yield f"line {number + 2} has {answer[:40]!r} instead of {_expected(file)}"
            return


def _is_answer(file: LeaderboardFile, answer: str) -> bool:
    if file.answers:
        return answer in file.answers.values()
    try:
        return LOWEST <= float(answer) <= HIGHEST  # false for nan
    except ValueError:
        return False


def _expected(file: LeaderboardFile) -> str:
    names = " or ".join(map(repr, file.answers.values()))
    return names or f"a number from {LOWEST:g} to {HIGHEST:g}"


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise UserError(
            "The model has diverged: it answers with no number.",
            received=value,
            fix="train anew with a smaller training.learning_rate.",
        )
    return f"{min(max(value, LOWEST), HIGHEST):.3f}"


def _text(label: object) -> str:
    return label.decode() if isinstance(label, bytes) else str(label)
