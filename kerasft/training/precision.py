"""Which dtype policy a device computes fastest in, read from its flags and never from a timing."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

_CPU_BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})
_GPU_BFLOAT16_CAPABILITY = (8, 0)  # Ampere


def resolve_dtype_policy(policy: str) -> str:
    """Returns the dtype policy that a recipe's `training.dtype_policy` stands for on this machine.

    `auto` is `mixed_bfloat16` on GPUs of compute capability 8.0 or higher and on CPUs with
    AVX512_BF16 or AMX, and `float32` elsewhere, where bfloat16 is emulated and slow.
    """
    if policy != "auto":
        return policy
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capable = all(_compute_capability(gpu) >= _GPU_BFLOAT16_CAPABILITY for gpu in gpus)
    else:
        capable = bool(_CPU_BFLOAT16_FLAGS & cpu_flags())
    return "mixed_bfloat16" if capable else "float32"


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


def _compute_capability(gpu) -> tuple[int, int]:
    details = tf.config.experimental.get_device_details(gpu)
    return details.get("compute_capability", (0, 0))
