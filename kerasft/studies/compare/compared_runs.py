"""Reads finished runs and checks that they can be compared.

TensorFlow is not imported, so that mistakes are reported at once.
"""

from __future__ import annotations

import dataclasses
import os
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kerasft.errors import UserError
from kerasft.metric import find_metric
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir, open_run_dir
from kerasft.runs.resolved import load_run_recipe
from kerasft.runs.resume import differences

_TEST, _VALIDATION = "test", "validation"
_NAMES = string.ascii_uppercase


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """One of the compared runs: `name` is its letter, `result` the content of `metrics.json`."""

    name: str
    run_dir: RunDir
    recipe: Recipe
    result: Mapping[str, Any]

    def metrics(self, split: str) -> dict[str, float | None]:
        """Returns the metrics of a split, without its prefix; `None` marks an undefined one.

        Supports, thresholds and interval bounds are excluded.
        """
        prefix = f"{split}/"
        return {
            name.removeprefix(prefix): value
            for name, value in self.result["metrics"].items()
            if name.startswith(prefix) and find_metric(name.removeprefix(prefix))
        }

    def splits(self) -> list[str]:
        """Returns the splits with recorded predictions."""
        prefix, suffix = "predictions-", ".npz"
        found = sorted(self.run_dir.path.glob(f"{prefix}*{suffix}"))
        return [path.name.removeprefix(prefix).removesuffix(suffix) for path in found]


def open_runs(paths: Sequence[str | os.PathLike[str]]) -> list[ComparedRun]:
    """Reads the runs in some run directories.

    Raises:
        UserError: There are too few, one is repeated, is no run directory or not finished, or
            their tasks differ.
    """
    if not 2 <= len(paths) <= len(_NAMES):
        raise UserError(
            "A comparison is between runs.",
            received=f"{len(paths)} run{'s'[: len(paths) != 1]}",
            expected=f"2 to {len(_NAMES)} run directories",
            fix="kerasft compare RUN_DIR RUN_DIR",
        )
    resolved = [os.path.realpath(path) for path in paths]
    for path in paths:
        if resolved.count(os.path.realpath(path)) > 1:
            raise UserError("A run cannot be compared with itself.", received=os.fspath(path))
    runs = [_open(name, path) for name, path in zip(_NAMES, paths, strict=False)]
    for other in runs[1:]:
        _check_same_task(runs[0], other)
    return runs


def choose_split(runs: Sequence[ComparedRun], split: str | None) -> str:
    """Returns the split to compare on: `split`, or `test` if all runs have it, else `validation`.

    Raises:
        UserError: Not all runs have it, or no split is common to all.
    """
    common = [name for name in runs[0].splits() if all(name in run.splits() for run in runs)]
    wanted = (_TEST, _VALIDATION) if split is None else (split,)
    for name in wanted:
        if name in common:
            return name
    raise UserError(
        "The runs have no predictions of a common split."
        if split is None
        else "Not all of the runs have predictions of this split.",
        received=split or "; ".join(f"{r.name}: {', '.join(r.splits()) or 'none'}" for r in runs),
        expected=f"one of {', '.join(common)}" if common else None,
        fix="name one that all have, with --split."
        if common
        else "compare runs that were tested on the same data.",
    )


def differing_settings(runs: Sequence[ComparedRun]) -> dict[str, list[object]]:
    """Returns the differences between runs by name (recipe, data, settings), one value per run."""
    rows = {"recipe": [run.recipe.name for run in runs]}
    # With the built-in sample, the data read differs from `data.dataset`.
    rows["data"] = [run.result["data"] for run in runs]
    rows |= {name: [run.recipe.values()[name] for run in runs] for name in _setting_names(runs)}
    return {name: values for name, values in rows.items() if any(v != values[0] for v in values)}


def same_test_settings(runs: Sequence[ComparedRun], split: str) -> bool:
    """Returns whether all settings are equal that determine a split's examples."""
    differing = set(_setting_names(runs))
    deciding = {name for name in differing if name.startswith("data.")} - {"data.oversample"}
    if split == _VALIDATION or any(run.recipe.data.test_examples for run in runs):
        deciding |= differing & {"training.seed"}  # it draws the subset of examples
    if split != _VALIDATION:
        deciding -= {"data.train_examples", "data.validation_fraction"}
    return not deciding and len({run.result["data"] for run in runs}) == 1


def _setting_names(runs: Sequence[ComparedRun]) -> Iterator[str]:
    """Yields the settings that differ between any of the runs, in the order of a recipe."""
    differing = {name for run in runs[1:] for name, _ in differences(runs[0].recipe, run.recipe)}
    return (name for name in runs[0].recipe.values() if name in differing)


def _open(name: str, path: str | os.PathLike[str]) -> ComparedRun:
    run_dir = open_run_dir(path)
    if not run_dir.metrics_path.exists():
        raise UserError(
            f"The run {run_dir.path} is not finished.",
            fix=f"wait for it, or go on with it: kerasft run --resume {run_dir.path}",
        )
    result = run_dir.read_json(run_dir.metrics_path.name)
    lacking = {"metrics", "task", "data"} - set(result if isinstance(result, dict) else ())
    if lacking:
        raise UserError(
            f"{run_dir.metrics_path} does not say all that a comparison needs.",
            expected=", ".join(sorted(lacking)),
            fix="run it again with this version of kerasft.",
        )
    return ComparedRun(name, run_dir, load_run_recipe(run_dir), result)


def _check_same_task(first: ComparedRun, other: ComparedRun) -> None:
    said = [_describe_task(run.result["task"]) for run in (first, other)]
    if said[0] != said[1]:
        raise UserError(
            "The runs learnt different things: their metrics cannot be compared.",
            received=f"{first.run_dir.path}: {said[0]}; {other.run_dir.path}: {said[1]}",
            expected="runs of one kind of label, with the same labels in the same order",
        )


def _describe_task(task: Mapping[str, Any]) -> str:
    names = ", ".join(map(str, task.get("label_names") or ()))
    return f"{task.get('kind')} ({names})" if names else str(task.get("kind"))
