"""Exports a trained model as a SavedModel: raw text in; labels, or a number, out."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import functools
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.layout import (
    BFLOAT16,
    RECORD,
    check_new_version,
    file_digests,
    versions_in,
)
from kerasft.export.length_buckets import check_length_buckets
from kerasft.export.op_audit import audit_saved_model
from kerasft.export.quantization import CompressedWeight, read_compressed, serve_weight
from kerasft.export.serving_files import write_batching, write_serving_files
from kerasft.export.signatures import check_signatures, describe_signatures, trace_signatures
from kerasft.export.verification import Probe, sample_probe, verify
from kerasft.export.warmup import write_warmup
from kerasft.run_dir import (
    check_disk_space,
    describe_environment,
    telling_os_errors,
    to_json,
    write_atomically,
)

_BESIDE = ".new-"  # TensorFlow Serving looks at integer names only
_GRAPH_BYTES = 16_000_000  # room for the graph and its vocabulary
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Args:
        signatures: Names of the signatures; empty: all that the model supports. `serving_default`
            is always included.
        warmup_texts: UTF-8 texts for warm-up requests. Anyone who has the model can read them.
            Defaults to the built-in sample.
        verify: Whether a fresh process must reproduce the predictions before the version is
            published.
        version: Version number; `None`: the highest existing one plus 1.
        probe: Expected predictions for `verify`. Defaults to the model's own on the built-in
            sample.
        compressed: Quantized weights, from `compress_weights`.
        length_buckets: Token lengths that requests are padded to, ascending, for servers that
            compile with XLA. Defaults to none: a request is as wide as its longest text.
    """

    signatures: tuple[str, ...] = ()
    warmup_texts: tuple[bytes, ...] = ()
    verify: bool = True
    version: int | None = None
    probe: Probe | None = None
    compressed: Sequence[CompressedWeight] = ()
    length_buckets: tuple[int, ...] = ()

    @property
    def compute_dtype(self) -> str:
        """Dtype that the encoder must compute in: `float32`, or `bfloat16` if stored so.

        In `bfloat16` predictions vary by rounding with the padding of the batch.
        """
        is_half = any(weight.stored.dtype == tf.bfloat16 for weight in self.compressed)
        return BFLOAT16 if is_half else "float32"


def export_saved_model(
    model,
    *,
    task,
    preprocessor,
    folder: str | os.PathLike[str],
    metadata: Mapping[str, Any],
    has_pairs: bool = False,
    options: ExportOptions | None = None,
) -> Path:
    """Exports a model atomically as the next version of a folder.

    See `kerasft.export.signatures` and `kerasft.export.layout`. The label names are in the
    SavedModel's attribute `label_names` (empty for regression) and, with all metadata, in
    `assets.extra/kerasft.json`.

    Args:
        model: A `FineTuner` whose encoder computes in `options.compute_dtype`.
        task: A `kerasft.tasks.task.Task`: turns logits into predictions.
        preprocessor: Turns texts, or pairs of texts, into the model's inputs.
        folder: `saved_models/<name>`; created if missing.
        metadata: Plain data about the model's origin: preset, recipe, metrics.
        has_pairs: Whether an example is a pair of texts.
        options: See `ExportOptions`.

    Returns:
        The version's folder.

    Raises:
        ValueError: If the model computes in another precision than the options say.
        UserError: For a full disk, missing permission, an invalid version, an unsupported
            signature, or an op that no stock server has.
        VerificationError: If the export does not reproduce the model's predictions.
    """
    folder, options = Path(folder), options or ExportOptions()
    _check_precision(model, options.compute_dtype)
    check_new_version(folder, options.version)
    names = check_signatures(options.signatures, task.kind)
    buckets = check_length_buckets(options.length_buckets, preprocessor)
    traced_with = {"has_pairs": has_pairs, "names": names, "buckets": buckets}
    servable, signatures = _build_servable(
        model, task, preprocessor, compressed=options.compressed, **traced_with
    )
    needed = _needed_bytes(servable, options.compressed)
    check_disk_space(folder, needed, "the exported model")
    record = _describe(model, task, preprocessor, signatures, traced_with)
    with telling_os_errors(folder, needed), _one_export_at_a_time(folder), _beside(folder) as new:
        _write(servable, signatures, new)
        record["oldest_server"] = _check_ops(new)
        write_batching(new)
        asked = {"has_pairs": has_pairs, "texts": options.warmup_texts, "lengths": buckets}
        write_warmup(new, folder.name, names, preprocessor, **asked)
        record |= {"metadata": dict(metadata), "sha256": file_digests(new), "verified": None}
        if options.verify:
            probe = options.probe or sample_probe(model, preprocessor, has_pairs)
            record["verified"] = verify(new, probe, options.compute_dtype)
        write_atomically(new / RECORD, to_json(record, indent=2) + "\n")
        version = _publish(new, folder, options.version)
    write_serving_files(folder.parent)
    return version


def _needed_bytes(servable: tf.Module, compressed: Sequence[CompressedWeight]) -> int:
    weights = sum(variable.numpy().nbytes for variable in servable.model_variables)
    return _GRAPH_BYTES + weights + sum(weight.num_bytes for weight in compressed)


def _describe(model, task, preprocessor, signatures, traced_with) -> dict[str, Any]:
    """Returns the record's description of the model."""
    return {
        "kind": task.kind,
        "compute_dtype": model.encoder.compute_dtype,
        "has_pairs": traced_with["has_pairs"],
        "length_buckets": list(traced_with["buckets"]),
        "label_names": task.label_names,
        "task": task.record(),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": describe_environment()["packages"],
        "preprocessing": preprocessor.config(),
        "signatures": describe_signatures(signatures),
    }


def _check_ops(version: Path) -> str:
    """Returns the oldest stock server that can run a version, and logs warnings.

    Raises `UserError` if no stock server can run it.
    """
    audit = audit_saved_model(version)
    if audit.oldest_server is None:
        raise UserError(
            "No stock TensorFlow Serving runs this model.",
            received="; ".join(f"{op}: {op.why}" for op in audit.refused),
            expected="ops of TensorFlow and TensorFlow Text that servers link and run",
            fix="use another preset, or change the layers in brackets: "
            + " ".join(dict.fromkeys(op.fix for op in audit.refused)),
        )
    for sentence in audit.warnings:
        warnings.warn(sentence, stacklevel=3)
    return audit.oldest_server


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Yields a folder for an unfinished version; removes it on exit if it is still there."""
    place = folder / f"{_BESIDE}{secrets.token_hex(4)}"
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _check_precision(model, compute_dtype: str) -> None:
    found = {"encoder": model.encoder.compute_dtype, "head": model.head.compute_dtype}
    wanted = {"encoder": compute_dtype, "head": "float32"}
    if found != wanted:
        raise ValueError(
            f"The model does not compute as its export is to. Received: {found}. Expected: "
            f"{wanted}. Fix: build it anew with that dtype policy and restore the weights."
        )


def _build_servable(model, task, preprocessor, *, compressed, **traced_with):
    """Returns the module to save and the traced functions of its signatures.

    The module holds only the variables that the graphs read: no optimizer, no random seeds, no
    unused layer. The Keras model itself would store every weight a second time.
    """
    servable = tf.Module(name="servable")
    servable.compressed = [serve_weight(weight) for weight in compressed]
    servable.stored = [list(weight.variables) for weight in servable.compressed]
    traced = trace_signatures(
        model,
        task,
        preprocessor,
        **traced_with,
        weights=functools.partial(read_compressed, compressed, servable.compressed),
    )
    read = {id(variable): variable for graph in traced.values() for variable in graph.variables}
    servable.model_variables = list(read.values())
    label_names = tf.constant(list(task.label_names), tf.string)  # may be empty
    servable.label_names = tf.Variable(label_names, trainable=False, name="label_names")
    return servable, traced


def _write(servable: tf.Module, signatures: Mapping[str, Any], version: Path) -> None:
    """Writes a version's folder; raises an `OSError` for a full disk."""
    version.mkdir(parents=True)
    try:
        tf.saved_model.save(servable, str(version), signatures=signatures)
    except tf.errors.OpError as error:
        full = isinstance(error, tf.errors.ResourceExhaustedError) or "No space" in str(error)
        if not full:
            raise
        raise OSError(errno.ENOSPC, error.message) from error


def _publish(beside: Path, folder: Path, number: int | None) -> Path:
    """Renames a finished export to its version number: by default the next one."""
    check_new_version(folder, number)
    wanted = max(versions_in(folder), default=0) + 1 if number is None else number
    while True:
        try:
            os.replace(beside, folder / str(wanted))
        except OSError as error:
            if error.errno not in _TAKEN or number is not None:
                raise
            wanted += 1  # another export was faster, where locks do not work
        else:
            return folder / str(wanted)


@contextlib.contextmanager
def _one_export_at_a_time(folder: Path) -> Iterator[None]:
    """Locks the folder, waiting for other exports, and removes leftovers of killed ones.

    The lock is on the folder itself, so no lock file remains; the system releases it at exit.
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
                folder.rmdir()  # succeeds only if nothing was exported
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Waits for the lock; returns `False` if the file system has none (some network drives)."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
