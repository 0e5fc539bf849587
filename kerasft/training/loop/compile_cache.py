"""A persistent cache of programs that XLA compiled.

XLA compiles a step for each shape of a batch, seconds to minutes each. TensorFlow can keep the
programs in a folder, but does not check that they fit the machine, so each kind of machine gets its
own folder.
"""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import tensorflow as tf

from kerasft.folders import cache_folder
from kerasft.processor import cpu_flags

VARIABLE = "TF_XLA_FLAGS"
_NVIDIA = Path("/proc/driver/nvidia/gpus")
_OPTION = "--tf_xla_persistent_cache_directory"


def keep_compiled_programs() -> Path | None:
    """Makes XLA use the cache folder; call it before anything is compiled in the process.

    TensorFlow reads its flags once. Returns the folder, or `None` (no cache) if `TF_XLA_FLAGS`
    names one already, it cannot be created, or a space in its path would end the flag.
    """
    flags = os.environ.get(VARIABLE, "")
    if _OPTION in flags:
        return None
    folder = cache_folder() / "xla" / _machine()
    if len(str(folder).split()) > 1:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home directory
        return None
    os.environ[VARIABLE] = f"{flags} {_OPTION}={folder}".strip()
    return folder


def _machine() -> str:
    """Returns a name shared only by machines that can run each other's programs."""
    # Listing devices by TensorFlow would make it read its flags.
    gpus = sorted(path.read_text(errors="replace") for path in _NVIDIA.glob("*/information"))
    models = [line for text in gpus for line in text.splitlines() if line.startswith("Model")]
    traits = [platform.machine(), *sorted(cpu_flags()), *models]
    digest = hashlib.sha256(" ".join(traits).encode()).hexdigest()
    return f"tensorflow-{tf.__version__}-{digest[:12]}"
