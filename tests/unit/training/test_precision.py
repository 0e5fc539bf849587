"""The dtype policy that a machine's flags ask for."""

from __future__ import annotations

import pytest
import tensorflow as tf

from kerasft.training.step import precision


@pytest.fixture
def machine(monkeypatch):
    """Pretends flags of the CPU and compute capabilities of GPUs."""

    def pretend(flags=(), capabilities=()):
        monkeypatch.setattr(precision, "cpu_flags", lambda: frozenset(flags))
        details = {f"GPU:{i}": value for i, value in enumerate(capabilities)}
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(details))
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda gpu: {"compute_capability": details[gpu]} if details[gpu] else {},
        )

    return pretend


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_what_the_recipe_names_stands(machine, policy):
    machine(flags=["amx_bf16"], capabilities=[(7, 5)])
    assert precision.resolve_dtype_policy(policy) == policy


@pytest.mark.parametrize(
    ("flags", "capabilities", "policy"),
    [
        (["avx2", "avx512_bf16"], [], "mixed_bfloat16"),
        (["amx_bf16"], [], "mixed_bfloat16"),
        (["avx2", "avx512f"], [], "float32"),
        ([], [], "float32"),
        # A GPU decides whatever the CPU has.
        (["avx512_bf16"], [(8, 0)], "mixed_bfloat16"),
        (["avx512_bf16"], [(9, 0), (8, 6)], "mixed_bfloat16"),
        (["avx512_bf16"], [(7, 5)], "float32"),
        (["avx512_bf16"], [(8, 0), (7, 5)], "float32"),
        (["avx512_bf16"], [None], "float32"),  # a device that does not tell
    ],
)
def test_the_machine_decides(machine, flags, capabilities, policy):
    machine(flags, capabilities)
    assert precision.resolve_dtype_policy("auto") == policy
