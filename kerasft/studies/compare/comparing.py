"""Compares finished runs: differences in settings and metrics, and whether they are noise."""

from __future__ import annotations

import functools
import hashlib
import operator
import os
import zipfile
from collections import Counter
from collections.abc import Sequence

import numpy as np

from kerasft.errors import UserError, nearest
from kerasft.metrics.paired import holm, mcnemar, paired_bootstrap
from kerasft.studies.compare.compared_runs import (
    ComparedRun,
    choose_split,
    differing_settings,
    open_runs,
    same_test_settings,
)
from kerasft.studies.compare.comparison import BOOTSTRAP, MCNEMAR, Comparison, PairedTest
from kerasft.tasks.task import Task, task_from_record

_FIXED = (
    "The tests hold the models fixed: what another seed of training would change is not in them "
    "(--seeds tells)."
)
_ONLY_SEED = (
    "The runs differ in nothing but the seed: what lies between them is what a seed changes."
)
_FLATTERED = "Validation has chosen each run's best weights: its figures flatter the runs."


def compare_runs(
    paths: Sequence[str | os.PathLike[str]],
    *,
    split: str | None = None,
    metrics: Sequence[str] = (),
    num_resamples: int = 5000,
    seed: int = 1,
) -> Comparison:
    """Compares finished runs with each other.

    Args:
        paths: Two or more run directories.
        split: The split to compare on; `None`: `test` if all have it, else `validation`.
        metrics: Metrics to test; empty: the headline of the first run's task.
        num_resamples: Resamples of the paired bootstrap.
        seed: Seed of the resamples; results are reproducible.

    Raises:
        UserError: The runs cannot be compared, or have no such split or metric.
    """
    runs = open_runs(paths)
    split = choose_split(runs, split)
    tasks = [task_from_record(run.result["task"]) for run in runs]
    chosen = _check_metrics(runs, split, metrics) or [tasks[0].headline]
    predictions = [_load_predictions(run, split) for run in runs]
    predictions, reason = _pair(runs, split, predictions)
    tests: list[PairedTest] = []
    if reason is None:
        settings = {"num_resamples": num_resamples, "seed": seed}
        tests = _test_pairs(runs, tasks, predictions, chosen, **settings)
    differing = differing_settings(runs)
    return Comparison(
        runs,
        split,
        differing,
        _metric_rows(runs, split),
        [len(found["labels"]) for found in predictions],
        tests,
        reason,
        _notes(runs, differing, split, tests),
    )


def _test_pairs(
    runs: Sequence[ComparedRun],
    tasks: Sequence[Task],
    predictions: Sequence[dict[str, np.ndarray]],
    metrics: Sequence[str],
    **settings: int,
) -> list[PairedTest]:
    """Tests each metric for each pair of runs, and adjusts for multiple tests."""
    labels = predictions[0]["labels"]
    raw = []
    for metric in metrics:
        weighted = [
            task.weighted_metric(metric, labels, found["logits"])
            for task, found in zip(tasks, predictions, strict=True)
        ]
        if any(function is None for function in weighted):
            raise UserError(
                "This metric has no paired test.",
                received=metric,
                fix="name another with --metric, or leave it out.",
            )
        differences = paired_bootstrap(weighted, len(labels), **settings)
        for (first, second), difference in differences.items():
            method = BOOTSTRAP
            right = [weighted[i].is_right for i in (first, second)]
            if right[0] is not None:  # nor is the other
                difference, method = difference._replace(p_value=mcnemar(*right)), MCNEMAR
            raw.append((metric, runs[first].name, runs[second].name, method, difference))
    adjusted = holm([test[-1].p_value for test in raw])
    return [PairedTest(*test, p) for test, p in zip(raw, adjusted, strict=True)]


def _check_metrics(runs: Sequence[ComparedRun], split: str, metrics: Sequence[str]) -> list[str]:
    chosen = list(dict.fromkeys(name.removeprefix(f"{split}/") for name in metrics))
    known = set.intersection(*(set(run.metrics(split)) for run in runs))
    for name in chosen:
        if name not in known:
            overall = sorted(other for other in known if "/" not in other)
            raise UserError(
                f"Not all of the runs have this metric of {split}.{nearest(name, known)}",
                received=name,
                expected=f"such as {', '.join(overall)}",
            )
    return chosen


def _load_predictions(run: ComparedRun, split: str) -> dict[str, np.ndarray]:
    path = run.run_dir.path / f"predictions-{split}.npz"
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            found = dict(arrays)
        lengths = {len(found[name]) for name in ("labels", "logits")}
        lengths |= {len(found["text_hashes"])} if "text_hashes" in found else set()
        if len(lengths) > 1:
            raise ValueError("arrays of different lengths")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"The predictions of {run.run_dir.path} cannot be read: {path.name} is damaged.",
            fix=f"make them anew: kerasft evaluate {run.run_dir.path}"
            if split == "test"
            else "compare on another split, or run it again.",
        ) from error
    return found


def _pair(
    runs: Sequence[ComparedRun], split: str, predictions: Sequence[dict[str, np.ndarray]]
) -> tuple[Sequence[dict[str, np.ndarray]], str | None]:
    """Aligns the predictions of all runs to the same order of examples, by text and label.

    Returns:
        The predictions of each run, one row per example in a common order, and `None`; or the
        predictions unchanged, and why the examples cannot be paired.
    """
    if not all("text_hashes" in found for found in predictions):
        return predictions, _why_not_the_same(runs, split, predictions)
    keys = [_example_keys(found) for found in predictions]
    orders = [sorted(range(len(of_run)), key=of_run.__getitem__) for of_run in keys]
    counters = [Counter(of_run) for of_run in keys]
    if any(counter != counters[0] for counter in counters):
        shared = functools.reduce(operator.and_, counters).total()
        said = ", ".join(f"{r.name} {len(k):,}" for r, k in zip(runs, keys, strict=True))
        return predictions, (
            f"the runs have different examples of {split} ({said}; they share {shared:,} by text "
            "and label)."
        )
    return [
        {name: array[order] for name, array in found.items()}
        for found, order in zip(predictions, orders, strict=True)
    ], None


def _example_keys(found: dict[str, np.ndarray]) -> list[bytes]:
    """Returns the text hash and label of each example, as bytes."""
    labels = np.asarray(found["labels"], np.float64).reshape(len(found["labels"]), -1)
    of_labels = np.ascontiguousarray(labels + 0.0).view(np.uint8)  # -0.0 becomes 0.0
    return [row.tobytes() for row in np.concatenate([found["text_hashes"], of_labels], axis=1)]


def _digest(found: dict[str, np.ndarray]) -> np.ndarray | None:
    """Returns a digest of all texts in order, which is all that earlier versions recorded."""
    if "text_hashes" not in found:
        return found.get("texts")
    digest = hashlib.blake2b(found["text_hashes"].tobytes(), digest_size=16)
    return np.frombuffer(digest.digest(), np.uint8)


def _why_not_the_same(
    runs: Sequence[ComparedRun], split: str, predictions: Sequence[dict[str, np.ndarray]]
) -> str | None:
    """Returns why runs of earlier versions cannot be paired by example; `None` if they can."""
    first, others = predictions[0], predictions[1:]
    counts = [len(found["labels"]) for found in predictions]
    if len(set(counts)) > 1:
        said = ", ".join(f"{r.name} {n:,}" for r, n in zip(runs, counts, strict=True))
        return f"the runs have different examples of {split} ({said})."
    digests = [_digest(found) for found in predictions]
    known = all(digest is not None for digest in digests)
    for found, digest in zip(others, digests[1:], strict=True):
        same_texts = not known or np.array_equal(digests[0], digest)
        if not same_texts or not np.array_equal(first["labels"], found["labels"]):
            return f"the runs have different examples of {split}."
    if not known and not same_test_settings(runs, split):
        return (
            f"a run of an earlier version did not note which examples {split} holds, and the "
            "settings that decide it differ (kerasft evaluate RUN_DIR notes it)."
        )
    return None


def _metric_rows(runs: Sequence[ComparedRun], split: str) -> dict[str, list[float | None]]:
    columns = [run.metrics(split) for run in runs]
    names = dict.fromkeys(name for column in columns for name in column if "/" not in name)
    return {name: [column.get(name) for column in columns] for name in names}


def _notes(
    runs: Sequence[ComparedRun],
    differing: dict[str, object],
    split: str,
    tests: Sequence[PairedTest],
) -> list[str]:
    defined = [test for test in tests if test.is_noise is not None]
    notes = _why_undefined(runs, split) if len(defined) < len(tests) else []
    if defined:
        notes.append(_ONLY_SEED if set(differing) == {"training.seed"} else _FIXED)
    if split == "validation":
        notes.append(_FLATTERED)
    left_out = max((test.difference.num_left_out for test in defined), default=0)
    if left_out:
        notes.append(f"Up to {left_out:,} resamples, on which a metric is undefined, are left out.")
    return notes


def _why_undefined(runs: Sequence[ComparedRun], split: str) -> list[str]:
    """Returns the runs' notes on undefined metrics of a split, without duplicates."""
    found: dict[str, list[str]] = {}
    for run in runs:
        for note in run.result.get("notes", ()):
            if note.startswith(f"{split}: ") and "undefined" in note:
                found.setdefault(note.removeprefix(f"{split}: "), []).append(run.name)
    return [f"{', '.join(names)}: {note}" for note, names in found.items()]
