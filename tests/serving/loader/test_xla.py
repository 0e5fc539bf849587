"""What needs XLA loads in a server and fails at its first request, as the audit foretells."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.export.op_audit import audit_saved_model

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
OVERWRITTEN = [[-1, -1, 2, 3], [4, 5, 6, 7]]
DOUBLED = (2 * ROWS).tolist()


def update_slice(rows):
    return keras.ops.slice_update(rows, (0, 0), -tf.ones((1, 2)))


def update_scattered(rows):
    """Does what the audit advises in place of `update_slice`."""
    return keras.ops.scatter_update(rows, [[0, 0], [0, 1]], -tf.ones(2))


@tf.function(jit_compile=True)
def double_compiled(rows):
    return 2 * rows


def call_compiled(rows):
    return double_compiled(rows)


def double_in_scope(rows):
    with tf.xla.experimental.jit_scope():
        return 2 * rows


def double(rows):
    return 2 * rows


@pytest.fixture
def ask(c_loader, loader, tmp_path):
    """Saves a function, asks the C loader for its output, and audits it."""

    def ask(function, **options):
        module, version = tf.Module(), tmp_path / "model"
        specs = [tf.TensorSpec([None, 4], tf.float32, name="rows")]
        module.function = tf.function(function, input_signature=specs, autograph=False)
        tf.saved_model.save(module, str(version), signatures=module.function)
        requests = [loader.Request("serving_default", {"rows": ROWS})]
        (answer,) = loader.ask(
            c_loader, version, requests, libraries=[], folder=tmp_path, **options
        )
        return answer, audit_saved_model(version)

    return ask


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (update_slice, "XlaDynamicUpdateSlice"),
        (call_compiled, "jit_compile=True"),
        (double_in_scope, "jit_scope"),
    ],
)
def test_what_needs_xla_is_refused_and_fails(ask, function, op):
    answer, audit = ask(function)
    assert [refused.op for refused in audit.refused] == [op]
    assert "XLA compilation disabled" in answer.error


@pytest.mark.parametrize(("function", "rows"), [(update_scattered, OVERWRITTEN), (double, DOUBLED)])
def test_control_without_it_both_pass(ask, function, rows):
    answer, audit = ask(function)
    assert (audit.refused, audit.oldest_server) == ((), "2.12.1")
    assert (answer.error, answer.outputs["output_0"].tolist()) == ("", rows)


@pytest.mark.parametrize(
    ("function", "rows"),
    [(update_slice, OVERWRITTEN), (call_compiled, DOUBLED), (double_in_scope, DOUBLED)],
)
def test_control_with_xla_it_answers(ask, function, rows):
    """As a server does that is started with `--xla_cpu_compilation_enabled`."""
    answer, _ = ask(function, xla=True)
    assert (answer.error, answer.outputs["output_0"].tolist()) == ("", rows)
