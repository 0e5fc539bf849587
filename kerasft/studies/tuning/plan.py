"""The plan of a study, read from the command line and checked before TensorFlow is imported."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path
from typing import Any

from kerasft.errors import UserError, nearest
from kerasft.recipe import Recipe, load_recipe, space_to_toml
from kerasft.recipe.conflicts import require_train_files
from kerasft.run_dir import RunDir, create_run_dir, find_folders, installed_version
from kerasft.runs import arguments as run_arguments
from kerasft.runs.resume import differences
from kerasft.studies.tuning.budget import Finals, read_time
from kerasft.studies.tuning.keras_tuner.chief import VARIABLES, Service, read_service
from kerasft.studies.tuning.keras_tuner.journal import JOURNAL, find_test, read_events
from kerasft.studies.tuning.space import GRID, HYPERBAND, METHODS, difference, settle_space

STUDY, BASE, RESULT = "study.json", "base.toml", "result.json"
USUAL_TRIALS, USUAL_FINALS = 10, Finals(finalists=3, seeds=3)
_SUFFIX = "_tuning"  # folders: runs/imdb_tuning-20261126-103000


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to search, and how.

    Args:
        recipe: The baseline recipe; its `tuning` is the resolved search space.
        method: One of `METHODS`.
        source: The recipe argument of `kerasft run`; empty: the study's own copy.
        overrides: The command line's settings, already applied to the recipe.
        trials: Number of trials; `None`: as many as budget or method allow.
        budget_seconds: Time limit of the whole study; `None`: no limit.
        finals: Number of finalists, and of their new seeds.
        finals_fixed: Whether the budget may not reduce the finals.
        pruning: Whether trials that lag behind are pruned.
        workers: Trials that run in parallel.
        folder: The study to resume; `None`: a new one.
        service: This process's id and the chief's address, for a search over several machines.
    """

    recipe: Recipe
    method: str
    source: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    trials: int | None = None
    budget_seconds: float | None = None
    finals: Finals = USUAL_FINALS
    finals_fixed: bool = False
    pruning: bool = True
    workers: int = 1
    folder: RunDir | None = None
    service: Service | None = None

    def open(self, runs_folder: str | Path = "runs") -> RunDir:
        """Returns the study's folder; a new one is made, and the plan written to it."""
        folder = self.folder or create_run_dir(f"{self.recipe.name}{_SUFFIX}", runs_folder)
        if self.folder is None:
            space = space_to_toml(self.recipe.tuning)
            folder.write_text(BASE, f"{self.recipe.to_toml()}\n{space}\n")
            version = installed_version("keras-tuner")
        else:
            version = folder.read_json(STUDY)["keras_tuner"]  # when it began
        folder.write_json(STUDY, self._record(version))
        return folder

    def _record(self, keras_tuner: str | None) -> dict[str, Any]:
        return {
            "recipe": self.recipe.name,
            "method": self.method,
            "source": self.source,
            "overrides": self.overrides,
            "trials": self.trials,
            "budget_seconds": self.budget_seconds,
            "finals": self.finals,
            "finals_fixed": self.finals_fixed,
            "keras_tuner": keras_tuner,
        }


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Reads the parsed arguments of `kerasft tune`, and the recipe that they name."""
    for name in ("trials", "finalists", "seeds", "workers"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(
                f"--{name} is how many there are.", received=value, expected="1 or more"
            )
    if arguments.method not in (None, *METHODS):
        raise UserError(
            f"There is no such method.{nearest(arguments.method, METHODS)}",
            received=arguments.method,
            expected=f"one of {', '.join(METHODS)}",
        )
    service = read_service()
    if service is not None and not service.is_chief:
        raise UserError(
            "This process is a worker of a search that another one leads.",
            received=f"KERASTUNER_TUNER_ID={service.tuner_id}",
            expected="a name with chief in it, or --join",
            fix="kerasft tune --join FOLDER, the folder of the search.",
        )
    plan = _new(arguments) if arguments.resume is None else _resumed(arguments)
    return dataclasses.replace(_with_limits(plan, arguments), service=service)


def read_plan(folder: RunDir) -> Plan:
    """Reads the plan of a study; raises `UserError` if its folder is another one or damaged."""
    if not (folder.path / STUDY).is_file():
        raise UserError(
            "This is not the folder of a search.",
            received=str(folder.path),
            expected=f"a folder runs/<recipe>{_SUFFIX}-..., such as kerasft tune makes",
        )
    record = folder.read_json(STUDY)
    return Plan(
        recipe=load_recipe(folder.path / BASE),
        method=record["method"],
        source=tuple(record["source"]),
        overrides=tuple(record["overrides"]),
        trials=record["trials"],
        budget_seconds=record["budget_seconds"],
        finals=Finals(*record["finals"]),
        finals_fixed=record["finals_fixed"],
        folder=folder,
    )


def _new(arguments: argparse.Namespace) -> Plan:
    if arguments.recipe is None:
        raise UserError("Which recipe?", expected="its name", fix="kerasft tune imdb_sample")
    method = arguments.method or METHODS[0]
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    recipe = dataclasses.replace(recipe, tuning=settle_space(recipe, method))
    require_train_files(recipe)
    if recipe.training.stop_after_epochs is not None:
        raise UserError(
            "A search runs its finalists to their end.",
            received=f"training.stop_after_epochs={recipe.training.stop_after_epochs:g}",
            fix="leave it out, and give training.epochs.",
        )
    # Only a shipped recipe, not its copy, may fall back on the built-in sample.
    source = (arguments.recipe, *arguments.overrides) if recipe.may_fall_back else ()
    trials = None
    if arguments.budget is None and method not in (GRID, HYPERBAND):
        trials = USUAL_TRIALS
    return Plan(recipe, method, source, tuple(arguments.overrides), trials)


def _resumed(arguments: argparse.Namespace) -> Plan:
    run_arguments.refuse_overrides(arguments)
    if arguments.resume is run_arguments.LATEST:
        if arguments.recipe is None:
            raise UserError(
                "Which search?", expected="a recipe, or its folder", fix="--resume runs/..."
            )
        folder = _latest(load_recipe(arguments.recipe).name)
    else:
        folder = RunDir(Path(arguments.resume))
    plan = read_plan(folder)
    _check_same(plan, arguments)
    _check_untested(folder, arguments)
    return plan


def _check_untested(folder: RunDir, arguments: argparse.Namespace) -> None:
    """Refuses to extend a search whose winner was tested: another winner needs another test.

    One that was interrupted right after the test may still write its results.
    """
    if find_test(read_events(folder.path / JOURNAL)) is None:
        return
    limits = (arguments.trials, arguments.budget, arguments.finalists, arguments.seeds)
    if (folder.path / RESULT).exists() or any(limit is not None for limit in limits):
        raise UserError(
            f"The winner of the search {folder.path} was tested, so the search is closed.",
            expected="a search without a test so far: the test set is evaluated once",
            fix="start a new one, without --resume.",
        )


def _check_same(plan: Plan, arguments: argparse.Namespace) -> None:
    """Refuses to resume a study if the named recipe, method or space differs."""
    method = arguments.method or plan.method
    other = [] if method == plan.method else [f"method: {plan.method} -> {method}"]
    if arguments.recipe is not None:
        named = load_recipe(arguments.recipe, plan.overrides)
        if named.name != plan.recipe.name:
            other.append(f"recipe: {plan.recipe.name} -> {named.name}")
        else:
            changed = dict(differences(plan.recipe, named))
            if not other:
                changed |= difference(plan.recipe.tuning, settle_space(named, method))
            other += [f"{name}: {was!r} -> {now!r}" for name, (was, now) in changed.items()]
    if other:
        raise UserError(
            f"The search in {plan.folder.path} is another than the one named.",
            received=", ".join(other),
            expected="the same recipe, space and method",
            fix=f"--resume {shlex.quote(str(plan.folder.path))} alone, or a new search.",
        )


def _latest(name: str) -> RunDir:
    found = find_folders(f"{name}{_SUFFIX}", STUDY)
    if not found:
        raise UserError(
            "There is nothing to resume: no search of this recipe was begun.",
            received=name,
            expected=f"a folder runs/{name}{_SUFFIX}-...",
            fix="start it, without --resume, or name its folder.",
        )
    return found[-1]


def _with_limits(plan: Plan, arguments: argparse.Namespace) -> Plan:
    """Applies the limits that may change per session: trials, time, workers."""
    changes: dict[str, Any] = {"workers": arguments.workers or 1, "pruning": arguments.pruning}
    if arguments.trials is not None:
        changes["trials"] = arguments.trials
    if arguments.budget is not None:
        changes["budget_seconds"] = read_time(arguments.budget)
    if (arguments.finalists, arguments.seeds) != (None, None):
        changes["finals_fixed"] = True
        changes["finals"] = Finals(
            arguments.finalists or plan.finals.finalists, arguments.seeds or plan.finals.seeds
        )
    return dataclasses.replace(plan, **changes)


def join_plan(arguments: argparse.Namespace) -> Plan:
    """Reads the plan of a search led by another machine (`join`); all but `pruning` is refused.

    Raises:
        UserError: There is no such search, or the chief's address is not set.
    """
    others = [
        name
        for name in ("recipe", "method", "trials", "budget", "finalists", "seeds", "resume")
        if getattr(arguments, name) is not None
    ]
    if others or arguments.overrides or arguments.workers is not None:
        raise UserError(
            "A worker has nothing to decide: the chief says what is searched.",
            received=", ".join([*others, *arguments.overrides]) or "workers",
            expected="--join FOLDER alone",
        )
    service = read_service()
    if service is None or service.is_chief:
        raise UserError(
            "Who leads the search?",
            received="nothing" if service is None else f"KERASTUNER_TUNER_ID={service.tuner_id}",
            expected=f"{', '.join(VARIABLES)}: a name of its own, and the chief's address",
        )
    plan = read_plan(RunDir(Path(arguments.join)))
    return dataclasses.replace(plan, service=service, pruning=arguments.pruning)
