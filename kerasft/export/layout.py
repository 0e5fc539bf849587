"""Layout of an exported model on disk, for writers and readers. Imports no TensorFlow.

`<folder>/<integer version>/` is what TensorFlow Serving serves from a model base path:

    saved_model.pb, variables/                 the graph and its weights
    batching_params.pbtxt                      how the server may batch requests
    assets.extra/tf_serving_warmup_requests    requests that the server runs before the first one
    assets.extra/kerasft.json                  description and origin of the model
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

SIGNATURE = "serving_default"
TOKEN_INPUTS = ("token_ids", "segment_ids", "padding_mask")  # of the signature `tokens`
GRAPH = "saved_model.pb"
RECORD = "assets.extra/kerasft.json"
WARMUP = "assets.extra/tf_serving_warmup_requests"
BATCHING = "batching_params.pbtxt"
MAX_WARMUP_RECORDS = 1000  # with more, the server does not load the model
# Batch sizes for waiting requests; the server pads to the next size.
BATCH_SIZES = (1, 2, 4, 8, 16, 32)
# Storage types of quantized weights; with bfloat16 the encoder also computes in it.
INT8, FLOAT16, BFLOAT16 = "int8", "float16", "bfloat16"
_OWN = (RECORD,)  # cannot hold its own checksum
_MAY_CHANGE = (BATCHING,)  # edited by whoever runs the server


def input_names(has_pairs: bool) -> tuple[str, ...]:
    """Returns the names of the signature's inputs."""
    return ("text", "text_pair") if has_pairs else ("text",)


def versions_in(folder: Path) -> dict[int, Path]:
    """Returns the folders that TensorFlow Serving treats as versions, by number, ascending."""
    if not folder.is_dir():
        return {}
    found = [path for path in folder.iterdir() if path.name.isascii() and path.name.isdigit()]
    return {int(path.name): path for path in sorted(found, key=lambda path: int(path.name))}


def file_digests(version: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file of a version by path, except the record that holds them."""
    return {
        name: _digest(path)
        for path in sorted(version.rglob("*"))
        if path.is_file() and (name := path.relative_to(version).as_posix()) not in _OWN
    }


def find_damage(version: Path, recorded: Mapping[str, str]) -> str | None:
    """Returns the name of a file that differs from `recorded` (from `file_digests`), or `None`."""
    found = file_digests(version)
    changed = (name for name, digest in recorded.items() if found.get(name) != digest)
    return next((name for name in changed if name not in _MAY_CHANGE), None)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
