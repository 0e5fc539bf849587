"""What every pipeline does with a recipe: run it, evaluate it again, export it again."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from kerasft.data.sources import BUILTIN_SAMPLE
from kerasft.errors import UserError
from kerasft.pipelines import assembly, outcome
from kerasft.pipelines.session import Run, Session
from kerasft.recipe import Recipe, load_recipe
from kerasft.run_dir import RunDir, create_run_dir, describe_environment
from kerasft.tasks.classification import Classification
from kerasft.training.events import Events
from kerasft.training.fine_tuner import FineTuner
from kerasft.training.precision import resolve_dtype_policy


def run(
    recipe: Recipe,
    *,
    resume: RunDir | None = None,
    events: Sequence[Events] = (),
    runs_folder: str | Path = "runs",
) -> Run:
    """Runs a recipe to its end.

    Args:
        recipe: What to run. When resuming, the run's own.
        resume: The run directory to go on in; a new one is made if `None`.
        events: Told what happens, beside TensorBoard and `history.csv`.
        runs_folder: Where a new run directory is made.

    Raises:
        UserError: For a mistake in recipe, data or surroundings.
        Interrupted: After Ctrl-C, when a checkpoint has been saved.
    """
    if resume is not None:
        with resume.lock():
            _check_unfinished(resume)
            session = Session(recipe, resume, events)
            session.load()
            return session.run(session.build_model())
    session = Session(settle(recipe), None, events)
    # Before there is a run directory: a mistake leaves none behind.
    session.load()
    model = session.build_model()
    session.run_dir = create_run_dir(recipe.name, runs_folder)
    with session.run_dir.lock():
        session.run_dir.write_text("recipe.toml", session.recipe.to_toml())
        session.run_dir.write_json("environment.json", describe_environment())
        return session.run(model)


def _check_unfinished(run_dir: RunDir) -> None:
    if run_dir.metrics_path.exists():
        raise UserError(
            f"The run {run_dir.path} is finished: there is nothing to resume.",
            fix="start a new run, without --resume.",
        )


def build(recipe: Recipe, events: Sequence[Events] = ()) -> FineTuner:
    """Builds the compiled model of a recipe, to be trained with `fit`.

    The data is read, since the schedule's length and the label names depend on it.

    Args:
        recipe: What to build.
        events: Told what was found, and loudly if the built-in sample stands in for the data.
    """
    session = Session(settle(recipe), None, events)
    session.load()
    return session.build_model()


def settle(recipe: Recipe) -> Recipe:
    """Replaces what depends on the machine by what it means here, so that a resume keeps it."""
    policy = resolve_dtype_policy(recipe.training.dtype_policy)
    training = dataclasses.replace(recipe.training, dtype_policy=policy)
    return dataclasses.replace(recipe, training=training)


def evaluate_run(
    run_dir: RunDir, events: Sequence[Events] = (), split: str = "test"
) -> dict[str, float]:
    """Evaluates a run's best checkpoint again, in float32; returns flat metrics.

    Raises:
        UserError: If the run has no best checkpoint yet.
    """
    session = _open_session(run_dir, events)
    session.load()
    result = session.outcome()
    facts = result.evaluate(result.best_model(), session.data, split, session.events)
    return outcome.flat_metrics(facts)


def export_run(run_dir: RunDir, events: Sequence[Events] = (), name: str | None = None) -> Path:
    """Exports a run's best checkpoint again; returns the version folder.

    Raises:
        UserError: If the run has no best checkpoint yet, or was never finished.
    """
    session = _open_session(run_dir, events)
    recorded = run_dir.read_json("metrics.json")
    recipe = session.recipe
    preset = assembly.load_recipe_preset(recipe, dtype="float32")
    result = outcome.Outcome(
        recipe,
        run_dir,
        preset,
        assembly.build_preprocessor(recipe, preset),
        Classification(recorded["label_names"]),
    )
    return result.export(
        result.best_model(),
        metrics=recorded["metrics"],
        on_sample=recorded["data"] == BUILTIN_SAMPLE,
        name=name,
    )


def _open_session(run_dir: RunDir, events: Sequence[Events]) -> Session:
    outcome.require_best(run_dir)
    return Session(load_run_recipe(run_dir), run_dir, events)


def load_run_recipe(run_dir: RunDir) -> Recipe:
    """Reads the recipe that a run was made with."""
    return load_recipe(run_dir.recipe_path)
