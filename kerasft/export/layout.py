"""Layout of an exported model on disk, for writers and readers. Imports no TensorFlow.

`<folder>/<integer version>/` is what TensorFlow Serving serves from a model base path:

    saved_model.pb, variables/                 the graph and its weights
    batching_params.pbtxt                      how the server may batch requests
    assets.extra/tf_serving_warmup_requests    requests that the server runs before the first one
    assets.extra/kerasft.json                  description and origin of the model
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Mapping
from pathlib import Path

from kerasft.errors import UserError

SIGNATURE = "serving_default"
TOKEN_INPUTS = ("token_ids", "segment_ids", "padding_mask")  # of the signature `tokens`
GRAPH = "saved_model.pb"
RECORD = "assets.extra/kerasft.json"
WARMUP = "assets.extra/tf_serving_warmup_requests"
BATCHING = "batching_params.pbtxt"
MAX_VERSION = 2**63 - 1  # an int64; the server passes over a folder with a larger number
MAX_WARMUP_RECORDS = 1000  # with more, the server does not load the model
# Batch sizes for waiting requests; the server pads to the next size.
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
# Storage types of quantized weights; with bfloat16 the encoder also computes in it.
INT8, FLOAT16, BFLOAT16 = "int8", "float16", "bfloat16"


def input_names(has_pairs: bool) -> tuple[str, ...]:
    """Returns the names of the signature's inputs."""
    return ("text", "text_pair") if has_pairs else ("text",)


def versions_in(folder: Path) -> dict[int, Path]:
    """Returns the folders that TensorFlow Serving treats as versions, by number, ascending."""
    found = {int(path.name): path for path in _numbered(folder)}
    return {number: path for number, path in found.items() if number <= MAX_VERSION}


def whole_versions(folder: Path) -> dict[int, Path]:
    """Returns the versions that have a graph."""
    return {n: path for n, path in versions_in(folder).items() if (path / GRAPH).is_file()}


def check_versions(folder: Path) -> None:
    """Raises `UserError` if two folders are one version, such as `7` and `007`."""
    numbered = _numbered(folder)
    for one, other in itertools.pairwise(numbered):
        if int(one.name) == int(other.name):
            raise UserError(
                f"{one} and {other} are one version.",
                expected="folders of different numbers",
                fix="remove one of them, or give it another number.",
            )


def check_new_version(folder: Path, number: int | None = None) -> None:
    """Checks that a version can be written to a folder, which need not exist yet.

    `number` is the version's; `None`: the next one.

    Raises:
        UserError: If the folder cannot be written, has this version, or no server would read it.
    """
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UserError(
            f"{folder} cannot be written.",
            received=f"{there}, {'without permission' if there.is_dir() else 'a file'}",
            expected="a folder for exported models",
            fix="choose another one (export.directory=FOLDER), or change its permissions.",
        )
    numbered = _numbered(folder)
    same = [path for path in numbered if int(path.name) == number]
    if same:
        taken = ", ".join(path.name for path in numbered)
        raise UserError(
            f"{folder} has this version already: {same[0]}.",
            received=number,
            expected=f"another number than {taken}",
            fix="leave --version out: the next free number is taken.",
        )
    if number is not None and not 0 <= number <= MAX_VERSION:
        raise UserError(
            "No server reads this version.", received=number, expected=f"0 to {MAX_VERSION}"
        )
    if number is None and numbered and int(numbered[-1].name) >= MAX_VERSION:
        raise UserError(
            f"{numbered[-1]} is in the way: no server reads a version after it.",
            expected=f"versions below {MAX_VERSION}",
            fix="remove or rename that folder, or give a --version.",
        )


def _numbered(folder: Path) -> list[Path]:
    """Returns what is named by a number in a folder, in the order of the numbers."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if path.name.isascii() and path.name.isdigit()]
    return sorted(found, key=lambda path: (int(path.name), path.name))


def file_digests(version: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file of a version by path, except the record that holds them."""
    return {
        name: _digest(path)
        for path in sorted(version.rglob("*"))
        if path.is_file() and (name := path.relative_to(version).as_posix()) != RECORD
    }


def find_damage(version: Path, recorded: Mapping[str, str]) -> str | None:
    """Returns the name of a file that differs from `recorded` (from `file_digests`), or `None`.

    Whoever runs the server may edit the batching parameters.
    """
    found = file_digests(version)
    changed = (name for name, digest in recorded.items() if found.get(name) != digest)
    return next((name for name in changed if name != BATCHING), None)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
