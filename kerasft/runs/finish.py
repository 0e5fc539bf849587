"""The end of a session: its best weights evaluated in float32, results written, model exported."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kerasft.metrics.facts import EvaluationFacts
from kerasft.runs import outcome
from kerasft.runs.data.data import VALIDATION
from kerasft.runs.data.source import evaluation_data, left_out, tested_splits
from kerasft.runs.export import export_trained
from kerasft.runs.projection import pooled_vectors, write_projection
from kerasft.runs.result import Run
from kerasft.training.callbacks.history import read_history
from kerasft.training.distribution.strategy import describe_strategy
from kerasft.training.loop.fit_state import FitState

if TYPE_CHECKING:
    from kerasft.runs.session import Session


def finish(session: Session, state: FitState) -> Run | None:
    """Evaluates the best weights in float32, writes the results, exports.

    All processes of a run evaluate together; the chief does the rest.

    Args:
        session: A session that is trained.
        state: Where its training ended.

    Returns:
        What the run left behind; `None` where another process is the chief.
    """
    data, result = session.data, session.outcome()
    model = result.best_model()
    tests = tested_splits(session.recipe, data.test_names)
    again = [VALIDATION] if _validates_again(session, tests) else []
    logits = {
        split: result.predict(model, data, split, session.callbacks) for split in (*again, *tests)
    }
    vectors = pooled_vectors(session, result, model)
    if not session.workers.is_chief:
        return None
    if vectors is not None:
        write_projection(session, model, vectors)
    validation = None
    if again:
        result = result.tuned(data, logits[VALIDATION])
        validation = result.describe(data, VALIDATION, logits[VALIDATION])
    tested = [result.describe(data, split, logits[split]) for split in tests]
    metrics = _validation_metrics(validation, state)
    notes = _undefined(metrics) if validation is None else outcome.split_notes(validation)
    for facts in tested:
        metrics |= outcome.flat_metrics(facts)
        notes += outcome.split_notes(facts)
        split = facts.split
        session.callbacks.on_predictions(split, data.labels(split), logits[split])
        session.callbacks.on_evaluation(split, state.step, facts.metrics, best=False)
    facts = tested[0] if tested else validation
    return _write(session, result, model, state, metrics=metrics, notes=notes, facts=facts)


def _write(
    session: Session,
    result: outcome.Outcome,
    model,
    state: FitState,
    *,
    metrics: dict[str, float],
    notes: list[str],
    facts: EvaluationFacts,
) -> Run:
    """Writes adapter, report and results, and exports; returns what the run left behind."""
    result.save_adapter(model)
    saved_model = None
    if session.recipe.export.enabled:
        if result.strategy is not None:
            model = session.outcome(on_one_device=True).best_model()
        saved_model = export_trained(result, model, session.data, metrics, session.on_sample)
    recipe, data = session.recipe, session.data
    splits = (VALIDATION, *tested_splits(recipe, data.test_names))
    run = Run(
        path=session.run_dir.path,
        metrics=metrics,
        saved_model=saved_model,
        history=read_history(session.run_dir.history_path),
        train=state.figures(),
        preset=recipe.model.preset,
        data=data.source.name,
        label_names=session.task.label_names,
        confusion=None if facts.confusion is None else facts.confusion.tolist(),
        has_pairs=data.source.has_pairs,
        notes=notes,
        evaluation_data=evaluation_data(recipe, data.source, splits),
        left_out=left_out(recipe, data.source, data.splits.report),
    )
    outcome.write_report(
        result,
        data,
        state,
        facts,
        run=run,
        device=describe_strategy(session.strategy),
        monitor=session.monitor,
    )
    details = {
        "label_names": run.label_names,
        "confusion": run.confusion,
        "task": result.task.record(),
        "has_pairs": run.has_pairs,
    }
    # Written last: it marks the run as finished.
    session.run_dir.write_json("metrics.json", run.to_json() | details)
    session.callbacks.on_results(state.step, metrics)
    return run


def _validates_again(session: Session, tests: Sequence[str]) -> bool:
    """Tells whether the best weights are validated once more, in float32, when training is over.

    Not where the figures of training are the same, and nothing is decided by them.
    """
    tunes = session.task.has_thresholds and session.recipe.evaluation.tune_thresholds
    training = session.recipe.training
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
    """Returns a note on each metric of a whole split, `validation/roc_auc`, that is undefined."""
    return [
        f"{name} is undefined on these examples."
        for name, value in metrics.items()
        if name.count("/") == 1 and math.isnan(value)
    ]
