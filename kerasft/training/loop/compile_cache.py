"""What XLA compiled, kept for the next run on a machine like this one.

XLA compiles a step anew for each shape of a batch, seconds to minutes each. TensorFlow can keep the
programs in a folder; that a program fits the machine it does not look at, so each kind of machine
has a folder of its own here.
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
    """Has XLA look for its programs in the cache folder, and leave new ones there.

    To be called before anything is compiled in the process: TensorFlow reads its flags once.

    Returns:
        The folder; `None` where `TF_XLA_FLAGS` names one already, or it cannot be made, or a space
        in its path would end the flag. Every run then compiles for itself.
    """
    flags = os.environ.get(VARIABLE, "")
    if _OPTION in flags:
        return None
    folder = cache_folder() / "xla" / _machine()
    if len(str(folder).split()) > 1:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a read-only home
        return None
    os.environ[VARIABLE] = f"{flags} {_OPTION}={folder}".strip()
    return folder


def _machine() -> str:
    """Returns a name that machines share only if they can run each other's programs."""
    # TensorFlow, asked for its devices, would read its flags.
    gpus = sorted(path.read_text(errors="replace") for path in _NVIDIA.glob("*/information"))
    models = [line for text in gpus for line in text.splitlines() if line.startswith("Model")]
    traits = [platform.machine(), *sorted(cpu_flags()), *models]
    digest = hashlib.sha256(" ".join(traits).encode()).hexdigest()
    return f"tensorflow-{tf.__version__}-{digest[:12]}"
