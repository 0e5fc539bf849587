"""Runs with several seeds: `--seeds 3`. Mean and standard deviation, and the best seed's model.

Few examples make a figure depend on the seed (Dodge et al. 2020, "Fine-Tuning Pretrained Language
Models: Weight Initializations, Data Orders, and Early Stopping"): one run says little, and the
seed that is best on validation is worth having.
"""

from __future__ import annotations

import argparse
import math
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from kerasft.console import log, print_json, results_only
from kerasft.errors import UserError
from kerasft.metric import is_defined
from kerasft.metrics.spread import Spread, show_figure, spread
from kerasft.recipe import Recipe, load_recipe
from kerasft.recipe.conflicts import require_train_files
from kerasft.run_dir import RunDir
from kerasft.runs import arguments as run_arguments
from kerasft.runs.terminal import build_progress
from kerasft.studies.choosing import best_by_validation, describe_best, monitored
from kerasft.studies.series import (
    Finished,
    Series,
    check_seeds,
    create_series,
    is_series,
    latest_series,
    open_named_series,
    refuse_seed,
    run_series,
    silence_retracing,
)

_EXPORTS = "exports.json"
_SEPARATE = ("_lower", "_upper")  # bounds of one run's figure: their mean means nothing


class Found(NamedTuple):
    """What came of a series.

    Attributes:
        runs: The finished runs, by the name of their recipe, seed after seed.
        best: Of each recipe the run that is best on validation; another one where the metric is
            undefined for all.
        models: Of each recipe the exported model's version folder; `None` if export is off.
    """

    runs: Mapping[str, Sequence[Finished]]
    best: Mapping[str, Finished]
    models: Mapping[str, str | None]

    def best_seed(self, name: str) -> int | None:
        """Returns the seed that is best on validation; `None`: the metric is undefined for all."""
        run = self.best[name]
        return run.seed if is_defined(monitored(run)) else None


def wants_series(arguments: argparse.Namespace) -> bool:
    """Tells whether a command line is about several seeds."""
    resume = arguments.resume
    return arguments.seeds is not None or (isinstance(resume, str) and is_series(resume))


def run_from_arguments(arguments: argparse.Namespace, usual_recipe: str | None) -> None:
    """Runs a recipe with several seeds, as a command line says, and prints what came of it.

    Args:
        arguments: `recipe`, `seeds`, `resume`, `json` and `overrides`.
        usual_recipe: The recipe when none is named.

    Raises:
        UserError: For a mistake in arguments, recipe, data or surroundings.
    """
    series = _plan(arguments, usual_recipe)
    with results_only():
        go_on = f"{arguments.command} --resume"
        found = run_all(series, plain=arguments.json, log=log, go_on=go_on)
    ((name, runs),) = found.runs.items()
    figures = spreads(runs)
    if arguments.json:
        print_json(
            {
                "run_dir": str(series.folder.path),
                "run_dirs": [str(run.run_dir.path) for run in runs],
                "seeds": [run.seed for run in runs],
                "best_seed": found.best_seed(name),
                "saved_model": found.models.get(name),
                "metrics": flat(figures),
            }
        )
    else:
        _print(runs, figures, found.models.get(name), series)


def run_all(
    series: Series,
    *,
    plain: bool,
    log: Callable[[str], object],
    go_on: str,
    title_of: Callable[[Recipe], str] = lambda recipe: recipe.name,
) -> Found:
    """Runs what is not finished yet, and exports of each recipe the best seed's model.

    Args:
        series: The series.
        plain: Whether to show progress as lines even on a terminal.
        log: Called with messages: how it gets on.
        go_on: The command that goes on with a folder, which is put behind it.
        title_of: What a recipe is called.
    """
    from kerasft.runs import train

    silence_retracing()

    def run(recipe: Recipe, run_dir: RunDir | None, same_data_as: RunDir | None):
        return train.run(
            recipe,
            resume=run_dir,
            callbacks=[build_progress(recipe, plain=plain)],
            runs_folder=series.folder.path,
            same_data_as=same_data_as,
        )

    runs: dict[str, list[Finished]] = {}
    try:
        for finished in run_series(series, run, log):
            runs.setdefault(finished.recipe.name, []).append(finished)
        # Never by what is reported: that would be choosing a model on the test.
        best = {name: best_by_validation(found) for name, found in runs.items()}
        for name, chosen in best.items():
            if len(runs[name]) > 1:
                log(describe_best(title_of(chosen.recipe), runs[name], chosen))
        models = _export(series, best)
    except KeyboardInterrupt as error:
        # The run's own hint would go on with that run alone.
        log(f"Go on with all of it: {go_on} {shlex.quote(str(series.folder.path))}")
        raise KeyboardInterrupt from error
    return Found(runs, best, models)


def spreads(runs: Sequence[Finished]) -> dict[str, Spread]:
    """Returns mean and standard deviation of every metric that all runs have."""
    shared = [
        name
        for name in runs[0].metrics
        if not name.endswith(_SEPARATE) and all(name in run.metrics for run in runs)
    ]
    return {name: spread([run.metrics[name] for run in runs]) for name in shared}


def flat(figures: Mapping[str, Spread]) -> dict[str, float]:
    """Returns figures under their names, with `_std` of several seeds."""
    means = {name: figure.mean for name, figure in figures.items()}
    return means | {f"{name}_std": f.std for name, f in figures.items() if f.std is not None}


def _plan(arguments: argparse.Namespace, usual_recipe: str | None) -> Series:
    """Makes the series of a command line, or opens the one to go on with."""
    seeds, resume = arguments.seeds, arguments.resume
    check_seeds(seeds)
    if isinstance(resume, str):
        run_arguments.refuse_overrides(arguments)
        if not is_series(resume):
            raise UserError(
                "The folder is not that of several runs.",
                received=f"--seeds {seeds} --resume {resume}",
                expected="a folder runs/<recipe>_seeds-..., or --resume without a value",
            )
        names = [] if arguments.recipe is None else [arguments.recipe]
        series = open_named_series(resume, names, seeds)
        if len(series.recipes) > 1:
            raise UserError(
                "The folder holds runs of several recipes.",
                received=", ".join(recipe.name for recipe in series.recipes),
                expected="runs of one recipe, with several seeds",
                fix="go on with the command that began them.",
            )
        return series
    name = arguments.recipe or usual_recipe
    if name is None:
        raise UserError(
            "Which recipe?", expected="its name", fix="kerasft run imdb_quick --seeds 3"
        )
    if resume is not None:
        run_arguments.refuse_overrides(arguments)
    recipe = load_recipe(name, arguments.overrides)
    require_train_files(recipe)
    refuse_seed(recipe, seeds)
    folder_name = f"{recipe.name}_seeds"
    if resume is not None:
        return latest_series(folder_name, [recipe], seeds, arguments.runs_folder)
    return create_series(folder_name, [recipe], seeds, arguments.runs_folder)


def _export(series: Series, best: Mapping[str, Finished]) -> dict[str, str | None]:
    """Exports of each recipe the model of its best seed, unless that was done already."""
    from kerasft.runs import export

    record = series.folder.path / _EXPORTS
    models = series.folder.read_json(_EXPORTS) if record.exists() else {}
    enabled = {recipe.name: recipe.export.enabled for recipe in series.recipes}
    for name, run in best.items():
        if run.recipe.export.enabled:  # it did so itself
            models[name] = run.result["saved_model"]
        elif enabled[name] and name not in models:
            models[name] = str(export.export_run(run.run_dir))
            series.folder.write_json(_EXPORTS, models)
    return models


def _print(
    runs: Sequence[Finished], figures: Mapping[str, Spread], model: str | None, series: Series
) -> None:
    """Prints the figures of a recipe's runs: those of the tests, or of validation."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    tested = {name: f for name, f in figures.items() if not name.startswith("validation/")}
    table = Table(box=box.HORIZONTALS)
    for title in ("metric", "mean", "± std", *(f"seed {run.seed}" for run in runs)):
        table.add_column(title, justify="left" if title == "metric" else "right", no_wrap=True)
    for name, figure in (tested or figures).items():
        # "undefined" for each seed would not fit into 80 columns.
        further = (math.nan if x is None else x for x in (figure.std, *figure.values))
        cells = ("" if math.isnan(x) else show_figure(x) for x in further)
        table.add_row(name, show_figure(figure.mean), *cells)
    Console(file=sys.stdout).print(table)
    sys.stdout.write(f"runs       {series.folder.path}\n")
    if model is not None:
        sys.stdout.write(f"model      {model}\n")
