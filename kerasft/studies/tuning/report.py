"""The result of a study: as data, and as files for people, programs and TensorBoard."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from kerasft.recipe import Dimension, load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.ending import Ending
from kerasft.studies.tuning.finals import BASELINE, Tried
from kerasft.studies.tuning.plan import BASE, RESULT
from kerasft.studies.tuning.space import show_value

TABLE, BEST = "trials.csv", "best.toml"


@dataclasses.dataclass(frozen=True)
class Found:
    """The result of a study, measured by a `metric` such as `validation/accuracy`.

    Args:
        tried: The baseline and all trials, in the order in which they began.
        finalists: Trials run with new seeds; empty if there was no time.
        winner: The best finalist; without finals the best trial. `None`: nothing was completed.
        conclusion: Whether the search beats the baseline, in words.
        best_run: The winner's run that is best on validation.
        test: The winner's metrics on its test split; empty if it was not tested.
        untested: Why nothing was tested; empty if the winner was.
        pins: Settings that the baseline fixed for all runs.
    """

    metric: str
    tried: tuple[Tried, ...]
    finalists: tuple[Tried, ...]
    winner: Tried | None
    conclusion: str
    ending: Ending
    best_run: str | None = None
    test: Mapping[str, float] = dataclasses.field(default_factory=dict)
    untested: str = ""
    pins: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write_trials(folder: RunDir, tried: Sequence[Tried], space: Sequence[Dimension]) -> None:
    """Writes `trials.csv`: one row per trial (the baseline first), one column per setting."""
    own = load_recipe(folder.path / BASE).values()
    names = [dimension.name for dimension in space]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["trial", "status", "metric", "value", *names, "epochs", "seconds", "run_dir", "reason"]
    )
    for trial in tried:
        outcome = trial.outcome
        # The recipe's own, where the trial does not set one.
        settings = [_cell(trial.values.get(name, own[name])) for name in names]
        value = "" if outcome.value is None else f"{outcome.value:.9g}"
        ends = [trial.epochs or "", f"{outcome.seconds:.1f}", outcome.run_dir or "", outcome.reason]
        writer.writerow([trial.job, outcome.status, outcome.metric or "", value, *settings, *ends])
    folder.write_text(TABLE, text.getvalue())


def write_results(folder: RunDir, found: Found) -> None:
    """Writes `best.toml` and, last, `result.json`, which marks a study as finished."""
    if found.winner is not None:
        folder.write_text(BEST, _best_recipe(folder, found))
    result = {
        "study": str(folder.path),
        "metric": found.metric,
        "trials": [_trial_json(trial) for trial in found.tried],
        "finalists": [_finalist_json(finalist) for finalist in found.finalists],
        "winner": found.winner and found.winner.job,
        "conclusion": found.conclusion,
        "ending": dataclasses.asdict(found.ending),
        "test": found.test,
        "tested_run": None if found.untested else found.best_run,
        "untested": found.untested or None,
        "best_recipe": found.winner and str(folder.path / BEST),
    }
    folder.write_json(RESULT, result)


def _trial_json(trial: Tried) -> dict[str, Any]:
    settings = "the recipe as it is" if trial.job == BASELINE else trial.values
    named = {"trial": trial.job, "settings": settings, "epochs": trial.epochs}
    return {**named, **dataclasses.asdict(trial.outcome)}


def _finalist_json(finalist: Tried) -> dict[str, Any]:
    named = {"trial": finalist.job, "settings": finalist.values, **finalist.figure._asdict()}
    return {**named, "run_dirs": [outcome.run_dir for outcome in finalist.outcomes]}


def _best_recipe(folder: RunDir, found: Found) -> str:
    """Returns the winner's recipe as TOML, with testing and export as in any recipe."""
    winner, figure = found.winner, found.winner.figure
    data = {k: v for k, v in found.pins.items() if k.startswith("data.")}
    recipe = load_recipe(folder.path / BASE, {**data, **winner.values})
    spread = "" if figure.std is None else f" ± {figure.std:.4f}"
    many = len(figure.values)
    recipe = dataclasses.replace(recipe, name=f"{recipe.name}_tuned")
    return (
        f"# Found by kerasft tune: {winner.job} of {folder.path.name}.\n"
        f"# {found.metric} {figure.mean:.4f}{spread}, {many} seed{'s' * (many > 1)}.\n"
        f"{recipe.to_toml()}"
    )


def _cell(value: Any) -> Any:
    return ";".join(value) if isinstance(value, tuple) else "" if value is None else value


def write_board(folder: RunDir, space: Sequence[Dimension], metric: str) -> None:
    """Writes the domains of the settings for TensorBoard's HParams tab, once.

    Each run writes its own values. TensorFlow's own writer is avoided: it would take hold of a GPU
    that the trials need.
    """
    path = folder.path / "tensorboard"
    if path.exists():
        return
    summary = hparams.hparams_config_pb(
        hparams=[hparams.HParam(d.name, _domain(d)) for d in space],
        metrics=[hparams.Metric(metric, display_name=metric)],
    )
    writer = EventFileWriter(str(path))
    writer.add_event(Event(step=0, summary=summary))
    writer.close()


def _domain(dimension: Dimension) -> hparams.Domain:
    values = dimension.choices
    if values is not None:
        shown = [show_value(v) if isinstance(v, tuple | dict) else v for v in values]
        return hparams.Discrete(shown)
    kind = hparams.IntInterval if dimension.setting.type is int else hparams.RealInterval
    return kind(*dimension.values)
