"""The plan of a study, read from the command line and checked before TensorFlow is imported."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from pathlib import Path

from kerasft.errors import UserError, nearest
from kerasft.recipe import Recipe, load_recipe, space_to_toml
from kerasft.recipe.conflicts import require_train_files
from kerasft.run_dir import RunDir, create_run_dir, find_folders, installed_version
from kerasft.runs import arguments as run_arguments
from kerasft.runs.resume import differences
from kerasft.studies.tuning.budget import Finals, read_time
from kerasft.studies.tuning.journal import JOURNAL, find_test, read_events
from kerasft.studies.tuning.space import GRID, HYPERBAND, METHODS, difference, settle_space

STUDY, BASE, RESULT = "study.json", "base.toml", "result.json"
USUAL_TRIALS, USUAL_FINALS = 10, Finals(finalists=3, seeds=3)
_SERVICE = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")
_SUFFIX = "_tuning"  # folders: runs/imdb_tuning-20261126-103000
_RECORDED = (  # in study.json
    *("method", "source", "overrides"),
    *("trials", "budget_seconds", "finals", "finals_fixed"),
)


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
        finals: The finals; the budget may not reduce them if they are `finals_fixed`.
        pruning: Whether trials that lag behind are pruned.
        workers: Trials that run in parallel.
        folder: The study to resume; `None`: a new one.
        address: Where workers on other machines are served, `host:port`; `None`: nowhere.
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
    address: str | None = None

    def open(self) -> RunDir:
        """Returns the study's folder, a new one or the resumed one, with the plan written to it.

        Raises `UserError` if another process runs the study.
        """
        folder = self.folder or create_run_dir(f"{self.recipe.name}{_SUFFIX}")
        with folder.lock():
            record = {"recipe": self.recipe.name, "keras_tuner": installed_version("keras-tuner")}
            if self.folder is None:
                space = space_to_toml(self.recipe.tuning)
                folder.write_text(BASE, f"{self.recipe.to_toml()}\n{space}\n")
            else:
                record = folder.read_json(STUDY)  # with the version when it began
            folder.write_json(STUDY, record | {name: getattr(self, name) for name in _RECORDED})
        return folder


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
    address = _read_address(joins=False)
    plan = _new(arguments) if arguments.resume is None else _resumed(arguments)
    finalists, seeds, budget = arguments.finalists, arguments.seeds, arguments.budget
    return dataclasses.replace(
        plan,
        address=address,
        workers=arguments.workers or 1,
        pruning=arguments.pruning,
        trials=arguments.trials or plan.trials,
        budget_seconds=plan.budget_seconds if budget is None else read_time(budget),
        finals_fixed=plan.finals_fixed or (finalists, seeds) != (None, None),
        finals=Finals(finalists or plan.finals.finalists, seeds or plan.finals.seeds),
    )


def read_plan(folder: RunDir) -> Plan:
    """Reads the plan of a study; raises `UserError` if its folder is another one or damaged."""
    if not (folder.path / STUDY).is_file():
        raise UserError(
            "This is not the folder of a search.",
            received=str(folder.path),
            expected=f"a folder runs/<recipe>{_SUFFIX}-..., such as kerasft tune makes",
        )
    record = folder.read_json(STUDY)
    recorded = {name: record[name] for name in _RECORDED if name in record}
    if len(recorded) < len(_RECORDED):
        raise UserError(
            f"{folder.path / STUDY} was written by another version of kerasft.",
            received=", ".join(record),
            expected=", ".join(_RECORDED),
            fix="start a new search, without --resume.",
        )
    recorded |= {name: tuple(recorded[name]) for name in ("source", "overrides")}
    recorded["finals"] = Finals(*recorded["finals"])
    return Plan(recipe=load_recipe(folder.path / BASE), folder=folder, **recorded)


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
        name = load_recipe(arguments.recipe).name
        found = find_folders(f"{name}{_SUFFIX}", STUDY)
        if not found:
            raise UserError(
                "There is nothing to resume: no search of this recipe was begun.",
                received=name,
                expected=f"a folder runs/{name}{_SUFFIX}-...",
                fix="start it, without --resume, or name its folder.",
            )
        folder = found[-1]
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


def join_plan(arguments: argparse.Namespace) -> Plan:
    """Reads the plan of a search led by another machine; only `--no-pruning` may be given, too."""
    own = ("recipe", "method", "trials", "budget", "finalists", "seeds", "resume", "workers")
    given = [name for name in own if getattr(arguments, name) is not None]
    if given or arguments.overrides:
        raise UserError(
            "A worker has nothing to decide: the chief says what is searched.",
            received=", ".join([*given, *arguments.overrides]),
            expected="--join FOLDER alone",
        )
    _read_address(joins=True)
    return dataclasses.replace(read_plan(RunDir(Path(arguments.join))), pruning=arguments.pruning)


def _read_address(*, joins: bool) -> str | None:
    """Returns the chief's address from the environment; `None` if this machine searches alone."""
    given = [os.environ.get(name, "") for name in _SERVICE]
    if not joins and not any(given):
        return None
    tuner_id, host, port = given
    is_chief = "chief" in tuner_id  # as KerasTuner tells
    if not all(given) or joins == is_chief:
        raise UserError(
            "A search over several machines has one chief, which workers --join.",
            received=", ".join(f"{n}={v}" for n, v in zip(_SERVICE, given, strict=True) if v),
            expected=f"all of {', '.join(_SERVICE)}: the id has chief in it without --join, and "
            "has not with it",
        )
    return f"{host}:{port}"
