"""How an exported model lies on disk, for those who write it and those who read it.

`<folder>/<integer version>/` holds `saved_model.pb`, `variables/` and `assets.extra/kerasft.json`:
TensorFlow Serving's model base path. No TensorFlow is imported here.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

SIGNATURE = "serving_default"
GRAPH = "saved_model.pb"
RECORD = "assets.extra/kerasft.json"  # TensorFlow Serving leaves this folder alone


def input_names(has_pairs: bool) -> tuple[str, ...]:
    """Returns the names of the signature's inputs."""
    return ("text", "text_pair") if has_pairs else ("text",)


def versions_in(folder: Path) -> dict[int, Path]:
    """Returns what TensorFlow Serving takes for versions, by number, the newest last."""
    if not folder.is_dir():
        return {}
    found = [path for path in folder.iterdir() if path.name.isascii() and path.name.isdigit()]
    return {int(path.name): path for path in sorted(found, key=lambda path: int(path.name))}


def file_digests(version: Path) -> dict[str, str]:
    """Returns the SHA-256 of the files that make the model, by path inside its folder."""
    return {
        path.relative_to(version).as_posix(): _digest(path)
        for path in sorted(version.rglob("*"))
        if path.is_file() and "assets.extra" not in path.relative_to(version).parts
    }


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
