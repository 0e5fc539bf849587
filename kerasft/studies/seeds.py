"""Runs with several seeds: mean and standard deviation, and the best seed's model.

With few examples, figures depend on the seed (Dodge et al. 2020, "Fine-Tuning Pretrained Language
Models: Weight Initializations, Data Orders, and Early Stopping"): one run says little, and the seed
that is best on validation is worth keeping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kerasft.metric import is_defined
from kerasft.metrics.spread import Spread, spread
from kerasft.recipe import Recipe
from kerasft.studies.choosing import best_by_validation, describe_best, monitored
from kerasft.studies.series import Finished, Reporting, Series, run_series

_EXPORTS = "exports.json"
_SEPARATE = ("_lower", "_upper")  # interval bounds of one run: not averaged


class Found(NamedTuple):
    """The results of a series.

    Attributes:
        runs: The finished runs, by the name of their recipe, in the order of seeds.
        best: By recipe the run that is best on validation; a fallback if the metric is undefined
            for all.
        models: By recipe the exported model's version folder; `None` if export is off.
    """

    runs: Mapping[str, Sequence[Finished]]
    best: Mapping[str, Finished]
    models: Mapping[str, str | None]

    def best_seed(self, name: str) -> int | None:
        """Returns the seed that is best on validation; `None`: the metric is undefined for all."""
        run = self.best[name]
        return run.seed if is_defined(monitored(run)) else None


def run_seeds(
    series: Series,
    reporting: Reporting,
    title_of: Callable[[Recipe], str] = lambda recipe: recipe.name,
) -> Found:
    """Runs what is not finished, and exports the best seed's model of each recipe.

    The series must have begun. `title_of` returns the display name of a recipe.
    """
    runs: dict[str, list[Finished]] = {}
    with reporting.resume_hint(series):
        for finished in run_series(series, reporting):
            runs.setdefault(finished.recipe.name, []).append(finished)
        # Never by the reported metrics: that would be model selection on the test set.
        best = {name: best_by_validation(found) for name, found in runs.items()}
        for name, chosen in best.items():
            if len(runs[name]) > 1:
                reporting.log(describe_best(title_of(chosen.recipe), runs[name], chosen))
        return Found(runs, best, _export(series, best))


def spreads(runs: Sequence[Finished]) -> dict[str, Spread]:
    """Returns mean and standard deviation of every metric that all runs have."""
    shared = [
        name
        for name in runs[0].metrics
        if not name.endswith(_SEPARATE) and all(name in run.metrics for run in runs)
    ]
    return {name: spread([run.metrics[name] for run in runs]) for name in shared}


def flat(figures: Mapping[str, Spread]) -> dict[str, float]:
    """Returns figures by name, with `_std` for several seeds."""
    means = {name: figure.mean for name, figure in figures.items()}
    return means | {f"{name}_std": f.std for name, f in figures.items() if f.std is not None}


def _export(series: Series, best: Mapping[str, Finished]) -> dict[str, str | None]:
    """Exports the best seed's model of each recipe, unless it was exported already."""
    from kerasft.runs import export

    record = series.folder.path / _EXPORTS
    models = series.folder.read_json(_EXPORTS) if record.exists() else {}
    enabled = {recipe.name: recipe.export.enabled for recipe in series.recipes}
    for name, run in best.items():
        if run.recipe.export.enabled:  # the run has exported it
            models[name] = run.result["saved_model"]
        elif enabled[name] and name not in models:
            models[name] = str(export.export_run(run.run_dir))
            series.folder.write_json(_EXPORTS, models)
    return models
