"""Selects the fastest dtype policy of a device from its flags, never from a timing."""

from __future__ import annotations

import tensorflow as tf

from kerasft.processor import BFLOAT16_FLAGS, cpu_flags

_GPU_BFLOAT16_CAPABILITY = (8, 0)  # Ampere


def resolve_dtype_policy(policy: str) -> str:
    """Returns the dtype policy of a recipe's `training.dtype_policy` on this machine.

    `auto` is `mixed_bfloat16` on GPUs of compute capability 8.0 or higher and on CPUs with
    AVX512_BF16 or AMX, and `float32` elsewhere, where bfloat16 is emulated and slow.
    """
    if policy != "auto":
        return policy
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capable = all(_compute_capability(gpu) >= _GPU_BFLOAT16_CAPABILITY for gpu in gpus)
    else:
        capable = bool(BFLOAT16_FLAGS & cpu_flags())
    return "mixed_bfloat16" if capable else "float32"


def _compute_capability(gpu) -> tuple[int, int]:
    details = tf.config.experimental.get_device_details(gpu)
    return details.get("compute_capability", (0, 0))
