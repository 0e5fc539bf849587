"""The cache folder: files that can be recreated."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Returns `$KERASFT_CACHE`, or `~/.cache/kerasft`. The folder need not exist yet."""
    named = os.environ.get("KERASFT_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "kerasft"
