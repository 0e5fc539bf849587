"""The end of a run: evaluates the best weights in float32, writes results, exports."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from kerasft.console import predict_command, tensorboard_command
from kerasft.evaluation.report import DataFacts, ReportFacts, TrainingFacts, render_report
from kerasft.metrics.facts import EvaluationFacts
from kerasft.run_dir import RunDir, describe_environment
from kerasft.run_dir.result import Run
from kerasft.runs.context import RunContext
from kerasft.runs.data.data import VALIDATION
from kerasft.runs.data.source import evaluation_data, left_out, tested_splits
from kerasft.runs.export import export_trained
from kerasft.runs.projection import pooled_vectors, write_projection
from kerasft.runs.trained import flat_metrics, open_trained, split_notes
from kerasft.training.callbacks.history import read_history
from kerasft.training.distribution.strategy import describe_strategy
from kerasft.training.loop.fit_state import FitState


def finish(context: RunContext, run_dir: RunDir, state: FitState) -> Run | None:
    """Evaluates the best weights in float32, writes the results, exports.

    All processes of a run evaluate together; the chief does the rest, and the others get `None`.
    `state` is the state at the end of training.
    """
    data, task = context.data, context.task
    trained = open_trained(
        context.recipe, run_dir, preprocessor=context.preprocessor, strategy=context.strategy
    )
    model = trained.best_model(task)
    tests = tested_splits(context.recipe, data.test_names)
    again = [VALIDATION] if _validates_again(context, tests) else []
    logits = {
        split: trained.predict(model, data, split, context.callbacks) for split in (*again, *tests)
    }
    vectors = pooled_vectors(context, model, trained.strategy)
    if not context.workers.is_chief:
        return None
    if vectors is not None:
        write_projection(context, run_dir, model, vectors)
    if again and context.recipe.evaluation.tune_thresholds:
        task = task.with_tuned_thresholds(data.labels(VALIDATION), logits[VALIDATION])
    facts = {split: trained.describe(task, data, split, logits[split]) for split in logits}
    metrics = _validation_metrics(facts.get(VALIDATION), state)
    notes = split_notes(facts[VALIDATION]) if again else _undefined(metrics)
    for split in tests:
        metrics |= flat_metrics(facts[split])
        notes += split_notes(facts[split])
        context.callbacks.on_predictions(split, data.labels(split), logits[split])
        context.callbacks.on_evaluation(split, state.step, facts[split].metrics, best=False)
    trained.save_adapter(model, task)
    reported = facts[tests[0] if tests else VALIDATION]
    run = _collect(context, run_dir, state, metrics=metrics, notes=notes, facts=reported)
    details = {
        "label_names": run.label_names,
        "confusion": run.confusion,
        "task": task.record(),
        "has_pairs": run.has_pairs,
    }
    if context.recipe.export.enabled:
        if trained.strategy is not None:  # an exported model is for one device
            trained = open_trained(context.recipe, run_dir, preprocessor=context.preprocessor)
            model = trained.best_model(task)
        saved_model = export_trained(trained, model, data, run.to_json() | details, task)
        run = dataclasses.replace(run, saved_model=saved_model)
    _write_report(context, state, run, reported)
    # Written last: it marks the run as finished.
    run_dir.write_json("metrics.json", run.to_json() | details)
    context.callbacks.on_results(state.step, metrics)
    return run


def _validates_again(context: RunContext, tests: Sequence[str]) -> bool:
    """Returns whether the best weights are validated once more, in float32, after training.

    Skipped if the metrics of training are the same and nothing depends on the predictions.
    """
    tunes = context.task.has_thresholds and context.recipe.evaluation.tune_thresholds
    training = context.recipe.training
    differs = training.dtype_policy != "float32" or training.average_checkpoints > 1
    return differs or tunes or not tests


def _validation_metrics(validation: EvaluationFacts | None, state: FitState) -> dict[str, float]:
    """Returns the best step's validation metrics."""
    if validation is not None:
        metrics = validation.metrics
    else:
        metrics = next(e for e in state.evaluations if e["step"] == state.best_step)
    return {f"validation/{name}": value for name, value in metrics.items() if name != "step"}


def _undefined(metrics: dict[str, float]) -> list[str]:
    """Returns a note for each undefined metric of a whole split, such as `validation/roc_auc`."""
    return [
        f"{name} is undefined on these examples."
        for name, value in metrics.items()
        if name.count("/") == 1 and math.isnan(value)
    ]


def _collect(
    context: RunContext,
    run_dir: RunDir,
    state: FitState,
    *,
    metrics: dict[str, float],
    notes: list[str],
    facts: EvaluationFacts,
) -> Run:
    """Returns the result of the run, before its export."""
    recipe, data = context.recipe, context.data
    splits = (VALIDATION, *tested_splits(recipe, data.test_names))
    return Run(
        path=run_dir.path,
        metrics=metrics,
        saved_model=None,
        history=read_history(run_dir.history_path),
        train=state.figures(),
        preset=recipe.model.preset,
        data=data.source.name,
        label_names=context.task.label_names,
        confusion=None if facts.confusion is None else facts.confusion.tolist(),
        has_pairs=data.source.has_pairs,
        notes=notes,
        evaluation_data=evaluation_data(recipe, data.source, splits),
        left_out=left_out(recipe, data.source, data.splits.report),
    )


def _write_report(context: RunContext, state: FitState, run: Run, facts: EvaluationFacts) -> None:
    """Writes `report.md`."""
    recipe, data, figures = context.recipe, context.data, run.train
    text = render_report(
        ReportFacts(
            title=run.path.name,
            recipe=recipe.name,
            preset=recipe.model.preset,
            data=DataFacts(
                source=data.source.name,
                version=data.source.version,
                num_examples={
                    split: data.splits.report[f"{split}_examples"]
                    for split in ("train", VALIDATION, *data.test_names)
                },
                dropped={
                    f"{split}, {reason}": count
                    for split, reasons in run.left_out.items()
                    for reason, count in reasons.items()
                },
                evaluated=run.evaluation_data,
            ),
            training=TrainingFacts(
                steps=state.step,
                seconds=state.seconds,
                examples_per_second=figures["examples_per_second"],
                tokens_per_second=figures["tokens_per_second"],
                padding_share=figures["padding_share"],
                idle_share=figures["idle_share"],
                compile_seconds=figures["compile_seconds"],
                monitor=context.monitor,
                best_step=state.best_step,
                best_value=state.best_value,
                dtype_policy=recipe.training.dtype_policy,
                device=describe_strategy(context.strategy),
            ),
            evaluation=facts,
            environment=describe_environment(),
            overridden=sorted(recipe.overridden),
            commands=_commands(run),
        )
    )
    RunDir(run.path).write_text("report.md", text)


def _commands(run: Run) -> list[str]:
    """Returns the shell lines that use a run's result."""
    commands = [tensorboard_command(run.path.parent, "tensorboard")]
    if run.saved_model is not None:
        command = predict_command(run.saved_model, has_pairs=run.has_pairs, kerasft="kerasft")
        commands.insert(0, command)
    return commands
