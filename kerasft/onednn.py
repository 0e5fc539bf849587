"""oneDNN's kernels, where TensorFlow would leave them off."""

from __future__ import annotations

import os
import platform
import sys

VARIABLE = "TF_ENABLE_ONEDNN_OPTS"
_PROCESSORS = ("x86_64", "AMD64")


def switch_on() -> None:
    """Has TensorFlow compute with oneDNN, unless `TF_ENABLE_ONEDNN_OPTS` says otherwise.

    On Linux TensorFlow does so by itself only where the processor has AVX512_VNNI, AVX512_BF16 or
    AMX. On others its own kernels take up to 1.5 times as long for a step (`docs/performance.md`).
    It reads the variable when it is imported; where it was imported before, nothing is changed.
    """
    if "tensorflow" not in sys.modules and platform.machine() in _PROCESSORS:
        os.environ.setdefault(VARIABLE, "1")


def is_on() -> bool:
    """Tells whether TensorFlow, which this imports, computes with oneDNN."""
    from tensorflow.python.util import _pywrap_util_port  # there is no public way to ask

    return _pywrap_util_port.IsMklEnabled()
