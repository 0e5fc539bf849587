"""The environment of a run: versions, machine, command."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = (
    "kerasft",
    "tensorflow",
    "tensorflow-text",
    "keras",
    "keras-hub",
    "tensorflow-datasets",
    "numpy",
    "scikit-learn",
)
# Only variables that affect results or speed are recorded, never the whole environment.
_VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "KERAS_BACKEND",
    "OMP_NUM_THREADS",
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_NUM_INTEROP_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "XLA_FLAGS",
)


def describe_environment() -> dict[str, Any]:
    """Returns versions, machine, time and command of a run, without importing TensorFlow."""
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "argv": list(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cpu_count": os.cpu_count(),
        "usable_cpu_count": _usable_cpu_count(),
        "packages": {package: installed_version(package) for package in _PACKAGES},
        "variables": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
    }


def installed_version(package: str) -> str | None:
    """Returns the version of an installed package, or `None`."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _usable_cpu_count() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _processor() -> str:
    """Returns the processor's model name; on Linux Python does not read it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
