"""What this machine's CPU supports, and whether TensorFlow uses it (oneDNN)."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

ONEDNN_VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # native bfloat16 products
_X86 = ("x86_64", "AMD64")


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Returns the CPU's instruction sets; empty if the system does not report them."""
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
    """Makes TensorFlow compute with oneDNN, unless `TF_ENABLE_ONEDNN_OPTS` is set.

    On Linux TensorFlow's default is oneDNN only on processors with AVX512_VNNI, AVX512_BF16 or
    AMX. On others its own kernels take up to 1.5 times as long per step (`docs/performance.md`).
    The variable is read when TensorFlow is imported; after that this has no effect.
    """
    if "tensorflow" not in sys.modules and platform.machine() in _X86:
        os.environ.setdefault(ONEDNN_VARIABLE, "1")


def onednn_is_on() -> bool:
    """Returns whether TensorFlow computes with oneDNN; imports TensorFlow."""
    from tensorflow.python.util import _pywrap_util_port  # there is no public API

    return _pywrap_util_port.IsMklEnabled()
