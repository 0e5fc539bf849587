"""Exports a trained run: verified on its own texts, quantized if the loss of quality is small."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasft.data.sources.raw_texts import read_raw_texts
from kerasft.errors import UserError
from kerasft.evaluation.forward import build_forward
from kerasft.export.layout import BFLOAT16, check_new_version
from kerasft.export.options import Quantization
from kerasft.export.quantization import CompressedWeight, compress_weights, dtype_policy_of
from kerasft.export.saved_model import ExportOptions
from kerasft.export.verification import NUM_TEXTS, Probe
from kerasft.metric import merit
from kerasft.metrics.spread import show_figure
from kerasft.run_dir import RunDir
from kerasft.runs.data.data import VALIDATION, Data, load_data, store_logits
from kerasft.runs.data.record import check_exported_data, describe_data
from kerasft.runs.data.source import split_names, tested_splits
from kerasft.runs.resume import change_run_recipe
from kerasft.runs.trained import (
    Trained,
    export_folder,
    open_trained,
    read_predictions,
    require_best,
)
from kerasft.tasks.task import Task, task_from_record
from kerasft.training.callbacks.callback import Callback, Callbacks
from kerasft.training.step.fine_tuner import FineTuner


def export_run(
    run_dir: RunDir,
    callbacks: Sequence[Callback] = (),
    name: str | None = None,
    *,
    options: ExportOptions | None = None,
    quantization: Quantization | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Exports a finished run's best checkpoint again; returns the version folder.

    Args:
        run_dir: A finished run.
        callbacks: Notified of the progress.
        name: Folder of the model; `None`: the recipe's.
        options: Export options. Defaults to those of an export after training.
        quantization: How weights are stored and computed with; `None`: in float32.
        overrides: See `evaluate_run`.

    Raises:
        UserError: If the run is not finished, or quantization costs more than allowed or lacks
            the run's data.
    """
    require_best(run_dir)
    recipe, log = change_run_recipe(run_dir, overrides), Callbacks(callbacks).on_message
    recorded = run_dir.read_json("metrics.json")
    task, trained = task_from_record(recorded["task"]), open_trained(recipe, run_dir)
    options = options or ExportOptions(verify=recipe.export.verify)
    check_new_version(export_folder(recipe, recorded["data"], name), options.version)
    model = trained.best_model(task)
    data, facts = None, {}
    if quantization is not None or options.verify:
        try:
            data = _load_same_data(trained, log)
        except UserError as error:
            if quantization is not None:
                raise
            log(f"Verified on the built-in sample, not on the run's own data: {error}")
    if quantization is not None:
        model, compressed, figures = quantize(model, trained, data, task, quantization, log)
        options = dataclasses.replace(options, compressed=compressed)
        facts = {"quantization": figures}
    if data is not None and options.verify:
        changed = model if options.compressed else None
        options = dataclasses.replace(options, probe=build_probe(trained, data, changed))
    return trained.export(model, recorded, task, name=name, options=options, facts=facts)


def export_trained(
    trained: Trained, model: FineTuner, data: Data, recorded: Mapping[str, Any], task: Task
) -> Path:
    """Exports the model of a run that was just tested; returns the version folder.

    `model` has the best weights, for one device. `recorded` is the future content of
    `metrics.json`, and `task` has tuned thresholds.
    """
    verify = trained.recipe.export.verify
    options = ExportOptions(verify=verify, probe=build_probe(trained, data) if verify else None)
    return trained.export(model, recorded, task, options=options)


def build_probe(trained: Trained, data: Data, model: FineTuner | None = None) -> Probe:
    """Returns up to 200 of the run's texts and their expected logits, to verify an export.

    The texts are from the first tested split, or from validation. The logits are computed by
    `model`; `None`: the logits that the run recorded.
    """
    recipe = trained.recipe
    split = (*tested_splits(recipe, data.test_names), VALIDATION)[0]
    store, indices = data.examples(split)
    indices = indices[:NUM_TEXTS]
    own = split_names(recipe)[split]
    texts = read_raw_texts(
        data.source, own, indices, text_hashes=store.text_hashes, to_the_end=False
    )
    if model is None:
        logits = read_predictions(trained.run_dir, split)[: len(indices)]
    else:
        batch_size = recipe.evaluation.batch_size
        logits = store_logits(build_forward(model), store, indices, batch_size=batch_size)
    columns = tuple(zip(*(texts[row] for row in range(len(texts))), strict=True))
    return Probe(columns, logits, f"the run, on {len(indices)} texts of {split}")


def quantize(
    model: FineTuner,
    trained: Trained,
    data: Data,
    task: Task,
    quantization: Quantization,
    log: Callable[[str], None],
) -> tuple[FineTuner, list[CompressedWeight], dict[str, Any]]:
    """Quantizes a model's weights, and measures the cost on validation.

    `model` is from `trained.best_model`; its weights may be changed. `log` gets the cost.

    Returns:
        The model to export, the compressed weights to store, and the figures for the record.

    Raises:
        UserError: It costs more than `quantization` allows.
    """
    before = _validate(model, trained, data, task)
    if math.isnan(before):
        raise UserError(
            f"validation/{task.headline} is undefined, so that what quantization costs "
            "cannot be measured.",
            fix="export without --quantize, or train with another evaluation.headline.",
        )
    if quantization.method == BFLOAT16:
        dtype = dtype_policy_of(BFLOAT16)
        model = open_trained(trained.recipe, trained.run_dir, dtype=dtype).best_model(task)
    compressed = compress_weights(model, quantization.method)
    after = _validate(model, trained, data, task)
    headline = task.headline
    figures = {
        "method": quantization.method,
        "metric": f"validation/{headline}",
        "before": before,
        "after": after,
        "weights_bytes": sum(weight.num_bytes for weight in compressed),
        "weights_bytes_before": sum(weight.variable.numpy().nbytes for weight in compressed),
    }
    log(
        f"Quantized to {quantization.method}: validation/{headline} {show_figure(before)} -> "
        f"{show_figure(after)}, "
        f"matrices {figures['weights_bytes_before'] / 1e6:,.1f} -> "
        f"{figures['weights_bytes'] / 1e6:,.1f} MB."
    )
    # Not `lost > max_loss`: a metric that became NaN must fail, too.
    if not merit(headline, before) - merit(headline, after) <= quantization.max_loss:
        raise UserError(
            f"Quantization to {quantization.method} loses too much of validation/{headline}.",
            received=f"{before:.4f} before, {after:.4f} after",
            expected=f"a loss of at most {quantization.max_loss}",
            fix="export without --quantize, with float16, or allow more with --max-loss.",
        )
    return model, compressed, figures


def _validate(model: FineTuner, trained: Trained, data: Data, task: Task) -> float:
    logits = trained.logits(model, data, VALIDATION)
    return float(task.evaluate(data.labels(VALIDATION), logits)[task.headline])


def _load_same_data(trained: Trained, log: Callable[[str], None]) -> Data:
    """Loads a run's data, and checks that it has not changed."""
    data = load_data(trained.recipe, trained.preprocessor, log=log)
    check_exported_data(trained.run_dir, describe_data(trained.recipe, data, trained.preprocessor))
    return data
