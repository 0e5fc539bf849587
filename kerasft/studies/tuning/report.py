"""The files and tables of a study: `trials.csv`, `result.json` and `best.toml`."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from kerasft.metric import rank
from kerasft.metrics.spread import show_figure
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.budget import write_time
from kerasft.studies.tuning.finals import BASELINE, Finalist, Tried
from kerasft.studies.tuning.found import Found
from kerasft.studies.tuning.job import show_value
from kerasft.studies.tuning.plan import BASE, RESULT

TABLE, BEST = "trials.csv", "best.toml"


def write_trials(folder: RunDir, tried: Sequence[Tried], names: Sequence[str]) -> None:
    """Writes `trials.csv`: one row per trial (the baseline first), one column per setting."""
    own = load_recipe(folder.path / BASE).values()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["trial", "status", "metric", "value", *names, "epochs", "seconds", "run_dir", "reason"]
    )
    for trial in tried:
        outcome = trial.outcome
        settings = [_cell(value) for value in _values(trial, names, own)]
        value = "" if outcome.value is None else f"{outcome.value:.9g}"
        ends = [trial.epochs or "", f"{outcome.seconds:.1f}", outcome.run_dir or "", outcome.reason]
        writer.writerow([trial.job, outcome.status, outcome.metric or "", value, *settings, *ends])
    folder.write_text(TABLE, text.getvalue())


def table_rows(
    folder: RunDir, found: Found, names: Sequence[str]
) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of the table of trials for the terminal, best first."""
    own = load_recipe(folder.path / BASE).values()
    metric = found.settled.metric
    ranked = sorted(found.tried, key=lambda t: rank(metric, t.outcome.value, None), reverse=True)
    header = [
        "trial",
        metric.partition("/")[2],
        *(name.partition(".")[2] for name in names),
    ]
    by_rungs = any(trial.epochs for trial in ranked)  # of Hyperband
    header += [*(["epochs"] if by_rungs else []), "time", "status"]
    rows = []
    for trial in ranked:
        value = "" if trial.outcome.value is None else f"{trial.outcome.value:.4f}"
        settings = ["" if v is None else show_value(v) for v in _values(trial, names, own)]
        if by_rungs:
            settings.append("" if trial.epochs is None else str(trial.epochs))
        status = trial.outcome.status
        rows.append([trial.job, value, *settings, write_time(trial.outcome.seconds), status])
    return header, rows


def finalist_rows(found: Found) -> tuple[list[str], list[list[str]]]:
    """Returns header and rows of the table of finalists for the terminal."""
    rows = [
        [
            finalist.job,
            show_figure(finalist.figure.mean),
            "" if finalist.figure.std is None else show_figure(finalist.figure.std),
            " ".join(map(show_figure, finalist.figure.values)),
        ]
        for finalist in found.finalists
    ]
    return [
        "finalist",
        f"mean {found.settled.metric.partition('/')[2]}",
        "± std",
        "new seeds",
    ], rows


def line_on_test(found: Found) -> str:
    """Returns a line on the winner's test, or on why there was none."""
    if found.untested:
        return f"Not tested: {found.untested}."
    name = f"test/{found.settled.metric.partition('/')[2]}"
    if name not in found.test:
        return f"Tested once: {RESULT} has the metrics."
    return f"Tested once: {name} {show_figure(found.test[name])}."


def failures(found: Found) -> list[str]:
    """Returns a line with the reason for each trial that was not completed."""
    return [
        f"{trial.job} {trial.outcome.status}: {trial.outcome.reason}"
        for trial in found.tried
        if trial.outcome.reason
    ]


def write_results(folder: RunDir, found: Found) -> dict[str, Any]:
    """Writes `best.toml` and, last, `result.json`, which marks a study as finished; returns it."""
    if found.winner is not None:
        folder.write_text(BEST, _best_recipe(folder, found))
    result = {
        "study": str(folder.path),
        "metric": found.settled.metric,
        "trials": [_trial_json(trial) for trial in found.tried],
        "finalists": [_finalist_json(finalist) for finalist in found.finalists],
        "winner": None if found.winner is None else found.winner.job,
        "conclusion": found.conclusion,
        "ending": dataclasses.asdict(found.ending),
        "test": found.test,
        "tested_run": None if found.untested else found.best_run,
        "untested": found.untested or None,
        "best_recipe": None if found.winner is None else str(folder.path / BEST),
    }
    folder.write_json(RESULT, result)
    return result


def _best_recipe(folder: RunDir, found: Found) -> str:
    """Returns the winner's recipe as TOML, with testing and export as in any recipe."""
    winner = found.winner
    data = {k: v for k, v in found.settled.pins.items() if k.startswith("data.")}
    recipe = load_recipe(folder.path / BASE, {**data, **winner.values})
    figure = winner.figure
    spread = "" if figure.std is None else f" ± {figure.std:.4f}"
    many = len(figure.values)
    recipe = dataclasses.replace(recipe, name=f"{recipe.name}_tuned")
    return (
        f"# Found by kerasft tune: {winner.job} of {folder.path.name}.\n"
        f"# {found.settled.metric} {figure.mean:.4f}{spread}, {many} seed{'s' * (many > 1)}.\n"
        f"{recipe.to_toml()}"
    )


def _values(trial: Tried, names: Sequence[str], own: Mapping[str, Any]) -> list[Any]:
    """Returns a trial's values, or the recipe's own for settings that it does not set."""
    return [trial.values.get(name, own[name]) for name in names]


def _cell(value: Any) -> Any:
    return ";".join(value) if isinstance(value, tuple) else "" if value is None else value


def _trial_json(trial: Tried) -> dict[str, Any]:
    return {
        "trial": trial.job,
        "settings": "the recipe as it is" if trial.job == BASELINE else trial.values,
        "epochs": trial.epochs,
        **dataclasses.asdict(trial.outcome),
    }


def _finalist_json(finalist: Finalist) -> dict[str, Any]:
    return {
        "trial": finalist.job,
        "settings": finalist.values,
        **finalist.figure._asdict(),
        "run_dirs": finalist.run_dirs,
    }
