"""The processor of this machine: what it can do, and that TensorFlow makes use of it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # it multiplies bfloat16
_X86 = ("x86_64", "AMD64")


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Returns the instruction sets that the CPU reports; empty where the system does not tell."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


def switch_onednn_on() -> None:
    """Has TensorFlow compute with oneDNN, unless `TF_ENABLE_ONEDNN_OPTS` says otherwise.

    On Linux TensorFlow does so by itself only where the processor has AVX512_VNNI, AVX512_BF16 or
    AMX. On others its own kernels take up to 1.5 times as long for a step (`docs/performance.md`).
    It reads the variable when it is imported; where it was imported before, nothing is changed.
    """
    if "tensorflow" not in sys.modules and platform.machine() in _X86:
        os.environ.setdefault(ONEDNN_VARIABLE, "1")


def onednn_is_on() -> bool:
    """Tells whether TensorFlow, which this imports, computes with oneDNN."""
    from tensorflow.python.util import _pywrap_util_port  # there is no public way to ask

    return _pywrap_util_port.IsMklEnabled()
