"""Atomic file writes, strict JSON, and disk errors as `UserError`."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasft.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR)


def write_atomically(path: str | os.PathLike[str], content: bytes | str) -> None:
    """Writes a temporary file and renames it: readers see the old content or the new.

    Parent folders are made; text is written as UTF-8.

    Raises:
        UserError: The disk is full, or the folder is not writable. The old file is untouched
            and no temporary file is left.
    """
    path = Path(path)
    data = content.encode() if isinstance(content, str) else content
    # In the same folder, since a rename is atomic only within one file system.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with telling_os_errors(path, len(data)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def remove_half_written(folder: Path) -> None:
    """Removes temporary files that `write_atomically` left in a folder when it was killed.

    No other process may be writing to the folder. Its sub-folders are not searched.
    """
    for path in folder.glob(".*.tmp"):
        path.unlink(missing_ok=True)


def check_disk_space(folder: str | os.PathLike[str], needed_bytes: int, what: str) -> None:
    """Raises `UserError` before a large write that would not fit on the disk.

    The folder need not exist yet. `what` names the data in the message: "the token store".
    """
    free = _free_bytes(Path(folder))
    if free < needed_bytes:
        raise UserError(
            f"Not enough disk space for {what} in {folder}.",
            received=f"{_size(free)} free",
            expected=f"at least {_size(needed_bytes)}",
            fix="Free some space, or choose a folder on another disk.",
        )


def to_json(value: Any, *, indent: int | None = None) -> str:
    """Writes plain data as strict JSON; `indent=None` keeps it on one line.

    NumPy numbers and arrays become plain ones and paths text. NaN and infinity, which JSON does
    not have, become `null`.
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


@contextlib.contextmanager
def telling_os_errors(path: Path, needed_bytes: int = 0) -> Iterator[None]:
    """Turns a full disk, a forbidden path and a removed folder into a `UserError`.

    Other errors pass. `needed_bytes` is shown in the message; 0: unknown.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(
                f"The disk is full: {path} was not written.",
                received=f"{_size(_free_bytes(path.parent))} free",
                expected=f"at least {_size(needed_bytes)}" if needed_bytes else None,
                fix="Free some space, or choose a folder on another disk.",
            ) from error
        if error.errno == errno.ENOENT:
            gone = path if error.filename is None else error.filename
            raise UserError(
                f"{path} cannot be written: {gone} is gone.",
                expected="folders that nobody removes or renames while they are written to",
                fix="Put them back, if they were moved, and resume or repeat the command.",
            ) from error
        if error.errno in _FORBIDDEN:
            raise UserError(
                f"{path} cannot be written: {error.strerror}.",
                fix="Change its permissions, or choose another folder.",
            ) from error
        raise


def _free_bytes(folder: Path) -> int:
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(existing).free


def _size(num_bytes: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:,.1f} GB"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
