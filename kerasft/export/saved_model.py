"""Writes a trained model as a SavedModel: raw text in; labels, or a number, out."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from kerasft.export.layout import RECORD, SIGNATURE, file_digests, input_names, versions_in
from kerasft.run_dir import (
    check_disk_space,
    describe_environment,
    telling_os_errors,
    to_json,
    write_atomically,
)

_BESIDE = ".new-"  # TensorFlow Serving looks at integer names only
_GRAPH_BYTES = 16_000_000  # room for what is not weights: the graph and the vocabulary in it
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


def export_saved_model(
    model,
    *,
    task,
    preprocessor,
    folder: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    has_pairs: bool = False,
) -> Path:
    """Exports a model as the next version of a folder, whole or not at all.

    The signature `serving_default` takes `text`, string `[None]`, and for pairs `text_pair`, the
    same. It answers with what `task.decode` returns: see `kerasft.tasks`. Preprocessing is inside.
    The label names stand in the SavedModel's attribute `label_names` (none for numbers), and with
    the task's own record, the metadata, the versions and the files' checksums in
    `assets.extra/kerasft.json`.

    Args:
        model: A float32 `FineTuner`.
        task: A `kerasft.tasks.task.Task`: turns logits into the answer.
        preprocessor: Turns texts, or pairs of texts, into the model's inputs.
        folder: `saved_models/<name>`; made if it is missing.
        metadata: Plain data about where the model comes from: preset, recipe, metrics.
        has_pairs: Whether an example is a pair of texts.

    Returns:
        The version's folder: one higher than the highest that was there.

    Raises:
        ValueError: The model does not compute in float32: its answers would depend on padding.
        UserError: The disk is full, or the folder cannot be written to.
    """
    folder = Path(folder)
    _check_float32(model)
    servable, answer = _build_servable(model, task, preprocessor, has_pairs)
    needed = _GRAPH_BYTES + sum(variable.numpy().nbytes for variable in answer.variables)
    check_disk_space(folder, needed, "the exported model")
    record = {
        "kind": task.kind,
        "has_pairs": has_pairs,
        "label_names": task.label_names,
        "task": task.record(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": describe_environment()["packages"],
        "preprocessing": preprocessor.config(),
        "metadata": dict(metadata),
    }
    with telling_os_errors(folder, needed), _one_export_at_a_time(folder):
        beside = folder / f"{_BESIDE}{secrets.token_hex(4)}"
        try:
            _write(servable, answer, record, beside)
            return _publish(beside, folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _check_float32(model) -> None:
    dtypes = {layer.name: layer.compute_dtype for layer in model.layers}
    if set(dtypes.values()) != {"float32"}:
        raise ValueError(
            f"Only a model that computes in float32 is exported. Received: {dtypes}. "
            "Fix: build it anew with the dtype policy float32 and restore the weights."
        )


def _build_servable(model, task, preprocessor, has_pairs: bool):
    """Returns the module that is saved and the traced function of its signature.

    The module holds the variables that the graph reads and nothing else: no optimizer, no random
    seeds, no layer without use. The Keras model itself would bring every weight a second time.
    """
    specs = [tf.TensorSpec([None], tf.string, name=name) for name in input_names(has_pairs)]

    @tf.function(input_signature=specs, autograph=False)
    def answer(*texts):
        return task.decode(model(preprocessor(*texts), training=False))

    traced = answer.get_concrete_function()
    servable = tf.Module(name="servable")
    servable.model_variables = list(traced.variables)
    label_names = tf.constant(list(task.label_names), tf.string)  # perhaps none
    servable.label_names = tf.Variable(label_names, trainable=False, name="label_names")
    return servable, traced


def _write(servable: tf.Module, answer, record: Mapping[str, Any], version: Path) -> None:
    """Writes a version's folder; a full disk comes as the `OSError` that it is."""
    version.mkdir(parents=True)
    try:
        tf.saved_model.save(servable, str(version), signatures={SIGNATURE: answer})
    except tf.errors.OpError as error:
        full = isinstance(error, tf.errors.ResourceExhaustedError) or "No space" in str(error)
        if not full:
            raise
        raise OSError(errno.ENOSPC, error.message) from error
    record = {**record, "sha256": file_digests(version)}
    write_atomically(version / RECORD, to_json(record, indent=2) + "\n")


def _publish(beside: Path, folder: Path) -> Path:
    """Gives a finished export the next version number."""
    number = max(versions_in(folder), default=0) + 1
    while True:
        try:
            os.replace(beside, folder / str(number))
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            number += 1  # somebody else was faster, where locks do not hold
        else:
            return folder / str(number)


@contextlib.contextmanager
def _one_export_at_a_time(folder: Path) -> Iterator[None]:
    """Locks the folder, waiting for other exports, and clears away what killed ones left.

    The lock is on the folder itself, so that it leaves nothing. The system lets go if we die.
    """
    is_new = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if _lock(descriptor):
            for leftover in folder.glob(f"{_BESIDE}*"):
                shutil.rmtree(leftover, ignore_errors=True)
        yield
    finally:
        if is_new:
            with contextlib.suppress(OSError):
                folder.rmdir()  # succeeds only where nothing was exported
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Waits for the lock; returns False where the file system has none (some network drives)."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
