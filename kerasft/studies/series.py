"""A series: several runs in one folder, of one recipe with several seeds or of several recipes.

An interrupted series resumes: finished runs are read, the interrupted one is resumed, and the rest
is run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasft.errors import UserError
from kerasft.recipe import DataSettings, Recipe, load_recipe
from kerasft.run_dir import RunDir, create_run_dir, find_folders
from kerasft.runs.resume import change_recipe, edited_settings

if TYPE_CHECKING:
    from kerasft.training.callbacks.callback import Callback

_RECORD = "series.json"
_RECIPES = "recipes"


class Finished(NamedTuple):
    """A finished run: its recipe, its run directory and the content of its `metrics.json`."""

    recipe: Recipe
    run_dir: RunDir
    result: Mapping[str, object]

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Flat metrics; `None` or NaN if one is undefined."""
        return self.result["metrics"]

    @property
    def seed(self) -> int:
        """The seed of the run."""
        return self.recipe.training.seed


class Reporting(NamedTuple):
    """How the progress of a series is reported.

    Attributes:
        command: The command that runs it, shown to resume it after Ctrl-C.
        log: Called with messages.
        new_callbacks: Makes the callbacks for a recipe's run.
    """

    command: str
    log: Callable[[str], object] = lambda line: None
    new_callbacks: Callable[[Recipe], Sequence[Callback]] = lambda recipe: ()

    @contextlib.contextmanager
    def resume_hint(self, series: Series) -> Iterator[None]:
        """Logs after Ctrl-C how to resume the whole series; a run's hint resumes that run only."""
        try:
            yield
        except KeyboardInterrupt as error:
            folder = shlex.quote(str(series.folder.path))
            self.log(f"Go on with all of it: {self.command} --resume {folder}")
            raise KeyboardInterrupt from error


@dataclasses.dataclass(frozen=True)
class Series:
    """Runs that belong together.

    Args:
        recipes: The recipes, each run with every seed.
        num_seeds: Run with seeds 1 to this one; `None`: with the recipe's own.
        folder: The folder of the runs; `None` until `begin`.
    """

    recipes: tuple[Recipe, ...]
    num_seeds: int | None = None
    folder: RunDir | None = None

    def begin(self, name: str, runs_folder: str | Path = "runs") -> Series:
        """Makes the folder `<runs_folder>/<name>-<date>-<time>`, unless the series has one.

        `<recipe>` in `name` is replaced by the recipe's name.

        Returns:
            The series in its folder, with its recipes written there.
        """
        if self.folder is not None:
            return self
        folder = create_run_dir(self._fill_in(name), runs_folder)
        for recipe in self.recipes:
            folder.write_text(f"{_RECIPES}/{recipe.name}.toml", recipe.to_toml())
            folder.write_json(f"{_RECIPES}/{recipe.name}.json", dict(recipe.written))
        folder.write_json(_RECORD, self._record())
        return dataclasses.replace(self, folder=folder)

    def planned(self) -> list[Recipe]:
        """Returns the recipes to run, seed after seed of each.

        With several seeds no run exports; only the best seed's model is exported at the end.
        """
        if self.num_seeds is None:
            return list(self.recipes)
        return [
            _with_seed(recipe, seed, export=self.num_seeds == 1)
            for recipe in self.recipes
            for seed in range(1, self.num_seeds + 1)
        ]

    def earlier(self) -> dict[tuple[str, int], RunDir]:
        """Returns the folder's run by recipe name and seed; finished runs take precedence."""
        found = [RunDir(path.parent) for path in self.folder.path.glob("*/recipe.toml")]
        found.sort(key=lambda run_dir: (run_dir.metrics_path.exists(), run_dir.path.name))
        recipes = [load_recipe(run_dir.recipe_path) for run_dir in found]
        return {
            (recipe.name, recipe.training.seed): run_dir
            for recipe, run_dir in zip(recipes, found, strict=True)
        }

    def latest(self, name: str, runs_folder: str | Path = "runs") -> Series:
        """Opens the newest series of exactly these recipes and this number of seeds.

        Raises `UserError` if there is none, or a recipe was edited since it began. `name` is as in
        `begin`.
        """
        name = self._fill_in(name)
        folders = find_folders(name, _RECORD, runs_folder)
        same = [folder for folder in folders if folder.read_json(_RECORD) == self._record()]
        if not same:
            others = ", ".join(sorted(str(folder.path) for folder in folders))
            own = self.num_seeds
            seeds = "the seed of the recipe" if own is None else f"seeds 1 to {own}"
            raise UserError(
                "There is nothing to resume: no series of these recipes and seeds was begun.",
                received=f"{', '.join(recipe.name for recipe in self.recipes)}; {seeds}",
                expected=f"one of {others}" if others else f"a folder {runs_folder}/{name}-...",
                fix="start it, without --resume, or name its folder.",
            )
        _refuse_edits(same[-1], self.recipes)
        return open_series(same[-1].path)

    def _record(self) -> dict[str, object]:
        return {"recipes": [recipe.name for recipe in self.recipes], "num_seeds": self.num_seeds}

    def _fill_in(self, name: str) -> str:
        return name.replace("<recipe>", self.recipes[0].name)


def is_series(path: str | Path) -> bool:
    """Returns whether a folder is that of a series."""
    return (Path(path) / _RECORD).is_file()


def open_series(path: str | Path, name: str = "<recipe>", what: str = "several runs") -> Series:
    """Opens the series in a folder; `name` is the prefix of such folders.

    `what` names the kind of series in messages.

    Raises:
        UserError: If it is no series, or its record or a recipe is missing or damaged.
    """
    if not is_series(path):
        raise other_folder(path, name, what)
    folder = RunDir(Path(path))
    record = folder.read_json(_RECORD)
    recipes = [load_recipe(folder.path / _RECIPES / f"{name}.toml") for name in record["recipes"]]
    return Series(tuple(recipes), record["num_seeds"], folder)


def open_named_series(path: str, name: str, recipes: Sequence[str], seeds: int | None) -> Series:
    """Opens the series in a folder; `recipes` and `seeds`, if given, must agree with it.

    Raises:
        UserError: If something differs, or the series is damaged.
    """
    series = open_series(path, name)
    own = [recipe.name for recipe in series.recipes]
    loaded = [load_recipe(recipe) for recipe in recipes]
    named = [recipe.name for recipe in loaded] or own
    if (named, seeds or series.num_seeds) != (own, series.num_seeds):
        raise UserError(
            f"The runs in {path} are others than those named.",
            received=f"{', '.join(named)}; --seeds {seeds}",
            expected=f"{', '.join(own)}; --seeds {series.num_seeds}, or neither of them",
            fix=f"--resume {shlex.quote(path)} alone.",
        )
    _refuse_edits(series.folder, loaded)
    return series


def run_series(series: Series, reporting: Reporting) -> Iterator[Finished]:
    """Runs a series that has begun, and yields each run when it is finished.

    Finished runs in its folder are not run again, and interrupted ones are resumed. Recipes that
    read the same data must find it unchanged.

    Raises:
        UserError: If another process works on the series, or a run fails by a user mistake.
    """
    from kerasft.runs import train  # imports TensorFlow

    _silence_retracing()
    planned = series.planned()
    with series.folder.lock():
        earlier = series.earlier()
        for number, recipe in enumerate(planned, start=1):
            run_dir = earlier.get((recipe.name, recipe.training.seed))
            title = f"{recipe.name}, seed {recipe.training.seed} ({number} of {len(planned)})"
            if run_dir is not None and run_dir.metrics_path.exists():
                reporting.log(f"{title}: finished earlier in {run_dir.path}.")
                yield read_finished(recipe, run_dir.path)
                continue
            reporting.log(f"{title}.")
            # An interrupted run resumes with its own recipe, in which nothing is left open.
            begun = recipe if run_dir is None else change_recipe(run_dir, ())
            run = train.run(
                begun,
                resume=run_dir,
                callbacks=reporting.new_callbacks(begun),
                runs_folder=series.folder.path,
                same_data_as=_run_on_the_same_data(begun, earlier.values()),
            )
            finished = read_finished(recipe, run.path)
            earlier[recipe.name, recipe.training.seed] = finished.run_dir
            yield finished
            gc.collect()  # models are in reference cycles, and the next one needs the memory


def other_folder(path: str | Path, name: str, what: str) -> UserError:
    """Returns the error for a folder that is not a series of this kind; see `open_series`."""
    return UserError(
        f"The folder is not that of {what}.",
        received=str(path),
        expected=f"a folder runs/{name}-..., or --resume without a value",
    )


def refuse_seed(recipe: Recipe, num_seeds: int | None) -> None:
    """Raises `UserError` if both a seed and a number of seeds are given."""
    if num_seeds is not None and "training.seed" in recipe.overridden:
        raise UserError(
            f"--seeds {num_seeds} runs with seeds 1 to {num_seeds}, and training.seed is given, "
            "too.",
            received=f"training.seed={recipe.training.seed}",
            fix="give one of them.",
        )


def read_finished(recipe: Recipe, path: Path) -> Finished:
    """Reads the results of a finished run; raises `UserError` if it is not finished."""
    run_dir = RunDir(Path(path))
    return Finished(recipe, run_dir, run_dir.read_json(run_dir.metrics_path.name))


def _run_on_the_same_data(recipe: Recipe, run_dirs: Iterable[RunDir]) -> RunDir | None:
    """Returns the first run whose recipe reads the same data, with any number of examples."""

    def read_by(other: Recipe) -> DataSettings:
        return dataclasses.replace(other.data, train_examples=None)

    wanted = read_by(recipe)
    same = (run for run in run_dirs if read_by(load_recipe(run.recipe_path)) == wanted)
    return next(same, None)


def _refuse_edits(folder: RunDir, recipes: Iterable[Recipe]) -> None:
    """Refuses recipes whose files were edited since a series began."""
    for recipe in recipes:
        edits = edited_settings(folder, recipe, f"{_RECIPES}/{recipe.name}.json")
        if edits:
            raise UserError(
                f"The recipe {recipe.name} was edited since the runs in {folder.path} began.",
                received=", ".join(f"{key}={value!r}" for key, value in edits.items()),
                expected="the recipe as it was: runs with other settings cannot be compared",
                fix=f"undo the edits, go on with its own settings: --resume "
                f"{shlex.quote(str(folder.path))} alone, or start anew without --resume.",
            )


def _silence_retracing() -> None:
    """Silences TensorFlow's retracing warning: each run has its own model to trace."""
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_is_no_advice)  # the same function, so that it is added once


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "tf.function retracing" not in record.getMessage()


def _with_seed(recipe: Recipe, seed: int, *, export: bool) -> Recipe:
    return dataclasses.replace(
        recipe,
        training=dataclasses.replace(recipe.training, seed=seed),
        export=dataclasses.replace(recipe.export, enabled=recipe.export.enabled and export),
        overridden=recipe.overridden | {"training.seed"},
    )
