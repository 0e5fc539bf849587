"""A run's model as a SavedModel: what it must answer, in how many bits it is stored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kerasft.data.sources.raw_texts import read_raw_texts
from kerasft.data.sources.source import BUILTIN_SAMPLE
from kerasft.errors import UserError
from kerasft.evaluation.forward import build_forward
from kerasft.export.layout import BFLOAT16
from kerasft.export.options import Quantization
from kerasft.export.quantization import CompressedWeight, compress_weights, dtype_policy_of
from kerasft.export.saved_model import ExportOptions
from kerasft.export.verification import NUM_TEXTS, Probe
from kerasft.metrics.spread import show_figure
from kerasft.runs.data.data import VALIDATION, Data, split_logits, store_logits
from kerasft.runs.data.source import split_names, tested_splits
from kerasft.runs.model.assembly import load_recipe_preset
from kerasft.runs.outcome import Outcome, read_predictions
from kerasft.training.step.fine_tuner import FineTuner


def export_trained(
    result: Outcome,
    model: FineTuner,
    data: Data,
    metrics: Mapping[str, float],
    on_sample: bool,
) -> Path:
    """Exports the model of a run that has just been tested; returns the version folder."""
    verify = result.recipe.export.verify
    options = ExportOptions(verify=verify, probe=build_probe(result, data) if verify else None)
    return result.export(model, metrics=metrics, on_sample=on_sample, name=None, options=options)


def build_probe(result: Outcome, data: Data, model: FineTuner | None = None) -> Probe:
    """Returns texts of the run's own data, and the logits that they must get.

    Args:
        result: The run's outcome.
        data: The run's data.
        model: Whose logits they are; `None`: those that the run recorded.

    Returns:
        Up to 200 texts of the first split that was tested on, of validation where none was.
    """
    split = (*tested_splits(result.recipe, data.test_names), VALIDATION)[0]
    store, indices = data.examples(split)
    indices = indices[:NUM_TEXTS]
    own = split_names(result.recipe)[split]
    texts = read_raw_texts(
        data.source, own, indices, text_hashes=store.text_hashes, to_the_end=False
    )
    if model is None:
        logits = read_predictions(result.run_dir, split)[: len(indices)]
    else:
        batch_size = result.recipe.evaluation.batch_size
        logits = store_logits(build_forward(model), store, indices, batch_size=batch_size)
    columns = tuple(zip(*(texts[row] for row in range(len(texts))), strict=True))
    return Probe(columns, logits, f"the run, on {len(indices)} texts of {split}")


def quantize(
    model: FineTuner,
    result: Outcome,
    data: Data,
    quantization: Quantization,
    log: Callable[[str], None],
) -> tuple[FineTuner, list[CompressedWeight], dict[str, Any]]:
    """Rounds a model's weights, and measures on validation what that costs.

    Args:
        model: From `result.best_model`; its weights may be changed.
        result: The run's outcome.
        data: The run's data.
        quantization: The method, and what it may cost.
        log: Called with a message that says what it cost.

    Returns:
        The model that is exported, what is stored of it, and the figures for the record.

    Raises:
        UserError: It costs more than allowed.
    """
    before = _validate(model, result, data)
    if math.isnan(before):
        raise UserError(
            f"validation/{result.task.headline} is undefined, so that what quantization costs "
            "cannot be measured.",
            fix="export without --quantize, or train with another evaluation.headline.",
        )
    if quantization.method == BFLOAT16:
        preset = load_recipe_preset(result.recipe, dtype=dtype_policy_of(BFLOAT16))
        model = dataclasses.replace(result, preset=preset).best_model()
    compressed = compress_weights(model, quantization.method)
    after = _validate(model, result, data)
    headline = result.task.headline
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
    # Not `before - after > max_loss`: a metric that has become NaN is lost.
    if not before - after <= quantization.max_loss:
        raise UserError(
            f"Quantization to {quantization.method} loses too much of validation/{headline}.",
            received=f"{before:.4f} before, {after:.4f} after",
            expected=f"a loss of at most {quantization.max_loss}",
            fix="export without --quantize, with float16, or allow more with --max-loss.",
        )
    return model, compressed, figures


def _validate(model: FineTuner, result: Outcome, data: Data) -> float:
    logits = split_logits(
        build_forward(model), data, VALIDATION, batch_size=result.recipe.evaluation.batch_size
    )
    metrics = result.task.evaluate(data.labels(VALIDATION), np.asarray(logits))
    return float(metrics[result.task.headline])


def export_recorded(
    result: Outcome,
    recorded: dict[str, Any],
    load_data: Callable[[], Data],
    *,
    name: str | None,
    options: ExportOptions,
    quantization: Quantization | None,
    log: Callable[[str], None],
) -> Path:
    """Exports a finished run's best checkpoint; returns the version folder.

    Args:
        result: The run's outcome.
        recorded: Its `metrics.json`.
        load_data: Loads the run's data, which verification and quantization need.
        name: Folder of the model; `None`: as the recipe says.
        options: Of the export.
        quantization: How weights are stored and computed with; `None`: in float32.
        log: Called with messages: what was done.

    Raises:
        UserError: Quantization costs too much, or its data is gone.
    """
    model = result.best_model()
    data = None
    if quantization is not None or options.verify:
        try:
            data = load_data()
        except UserError as error:
            if quantization is not None:
                raise
            log(f"Verified on the built-in sample, not on the run's own data: {error}")
    facts = {}
    if quantization is not None:
        model, compressed, figures = quantize(model, result, data, quantization, log)
        options = dataclasses.replace(options, compressed=compressed)
        facts = {"quantization": figures}
    if data is not None and options.verify:
        changed = model if options.compressed else None
        options = dataclasses.replace(options, probe=build_probe(result, data, changed))
    return result.export(
        model,
        metrics=recorded["metrics"],
        on_sample=recorded["data"] == BUILTIN_SAMPLE,
        name=name,
        options=options,
        facts=facts,
    )
