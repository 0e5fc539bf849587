"""Several runs that belong together: a recipe with several seeds, or several recipes in one go.

They lie in one folder, a series, which also holds what is to be run. An interrupted series goes on
where it stopped: finished runs are read, the one that was cut off is resumed, the rest is run.
"""

from __future__ import annotations

import dataclasses
import gc
import logging
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasft.errors import UserError
from kerasft.recipe import DataSettings, Recipe, load_recipe
from kerasft.run_dir import RunDir, create_run_dir
from kerasft.runs.resume import change_recipe, edited_settings

if TYPE_CHECKING:
    from kerasft.runs.result import Run

_RECORD = "series.json"
_RECIPES = "recipes"


class Finished(NamedTuple):
    """A finished run: its recipe, its run directory and what its `metrics.json` says."""

    recipe: Recipe
    run_dir: RunDir
    result: Mapping[str, object]

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Flat metrics; `None` or NaN where one is undefined."""
        return self.result["metrics"]

    @property
    def seed(self) -> int:
        """The seed that it was run with."""
        return self.recipe.training.seed


@dataclasses.dataclass(frozen=True)
class Series:
    """A folder of runs that belong together.

    Args:
        folder: The folder.
        recipes: What is to be run in it, each with every seed.
        num_seeds: Run with seeds 1, 2, ... up to this one; `None`: with the recipe's own.
    """

    folder: RunDir
    recipes: tuple[Recipe, ...]
    num_seeds: int | None = None

    def planned(self) -> list[Recipe]:
        """Returns the recipes to run, seed after seed of each.

        With several seeds no run exports: of each recipe one model is wanted, that of the best.
        """
        if self.num_seeds is None:
            return list(self.recipes)
        return [
            _with_seed(recipe, seed, export=self.num_seeds == 1)
            for recipe in self.recipes
            for seed in range(1, self.num_seeds + 1)
        ]

    def earlier(self) -> dict[tuple[str, int], RunDir]:
        """Returns a run in the folder for each recipe's name and seed: a finished one, or any."""
        found = [RunDir(path.parent) for path in self.folder.path.glob("*/recipe.toml")]
        found.sort(key=lambda run_dir: (run_dir.metrics_path.exists(), run_dir.path.name))
        recipes = [load_recipe(run_dir.recipe_path) for run_dir in found]
        return {
            (recipe.name, recipe.training.seed): run_dir
            for recipe, run_dir in zip(recipes, found, strict=True)
        }


def create_series(
    name: str, recipes: Sequence[Recipe], num_seeds: int | None, runs_folder: str | Path = "runs"
) -> Series:
    """Makes the folder `<runs_folder>/<name>-<date>-<time>` of a series, and notes its plan there.

    Raises:
        UserError: If the folder cannot be made.
    """
    folder = create_run_dir(name, runs_folder)
    for recipe in recipes:
        folder.write_text(f"{_RECIPES}/{recipe.name}.toml", recipe.to_toml())
        folder.write_json(f"{_RECIPES}/{recipe.name}.json", dict(recipe.written))
    folder.write_json(_RECORD, _record(recipes, num_seeds))
    return Series(folder, tuple(recipes), num_seeds)


def is_series(path: str | Path) -> bool:
    """Tells whether a folder is that of a series."""
    return (Path(path) / _RECORD).is_file()


def open_series(path: str | Path) -> Series:
    """Opens a series that was begun earlier.

    Raises:
        UserError: If its record or a recipe is missing or damaged.
    """
    folder = RunDir(Path(path))
    record = folder.read_json(_RECORD)
    recipes = [load_recipe(folder.path / _RECIPES / f"{name}.toml") for name in record["recipes"]]
    return Series(folder, tuple(recipes), record["num_seeds"])


def latest_series(
    name: str, recipes: Sequence[Recipe], num_seeds: int | None, runs_folder: str | Path = "runs"
) -> Series:
    """Opens the newest series of exactly these recipes and as many seeds.

    Raises:
        UserError: There is none.
    """
    wanted = _record(recipes, num_seeds)
    folders = [path.parent for path in Path(runs_folder).glob(f"{name}-*/{_RECORD}")]
    same = [folder for folder in folders if RunDir(folder).read_json(_RECORD) == wanted]
    if not same:
        others = ", ".join(str(folder) for folder in sorted(folders))
        raise UserError(
            "There is nothing to resume: no series of these recipes and seeds was begun.",
            received=f"{', '.join(wanted['recipes'])}; {_describe_seeds(num_seeds)}",
            expected=f"one of {others}" if others else f"a folder {runs_folder}/{name}-...",
            fix="start it, without --resume, or name its folder.",
        )
    stamp = slice(len(f"{name}-20000101-000000"))
    # Folders of one second are numbered: of those the longer name is the later one.
    latest = max(same, key=lambda path: (path.name[stamp], len(path.name), path.name))
    _refuse_edits(RunDir(latest), recipes)
    return open_series(latest)


def run_series(
    series: Series,
    run: Callable[[Recipe, RunDir | None, RunDir | None], Run],
    log: Callable[[str], object],
) -> Iterator[Finished]:
    """Runs what a series holds, one after the other, and yields each run when it is finished.

    Args:
        series: The series. What is finished in its folder is not run again.
        run: Runs a recipe, from the start or on from the run directory that it is given; on the
            same data as the run that it is given then, if any.
        log: Called with messages: which run begins.

    Raises:
        UserError: If another process works on the series, or a run fails by the user's mistake.
    """
    planned = series.planned()
    with series.folder.lock():
        earlier = series.earlier()
        for number, recipe in enumerate(planned, start=1):
            run_dir = earlier.get((recipe.name, recipe.training.seed))
            title = f"{recipe.name}, seed {recipe.training.seed} ({number} of {len(planned)})"
            if run_dir is not None and run_dir.metrics_path.exists():
                log(f"{title}: finished earlier in {run_dir.path}.")
                yield read_finished(recipe, run_dir.path)
                continue
            log(f"{title}.")
            # A run that was cut off goes on with its own recipe, in which nothing is left open.
            begun = recipe if run_dir is None else change_recipe(run_dir, ())
            finished = read_finished(
                recipe, run(begun, run_dir, _run_on_the_same_data(begun, earlier.values())).path
            )
            earlier[recipe.name, recipe.training.seed] = finished.run_dir
            yield finished
            gc.collect()  # models hold themselves in circles, and the next one needs the room


def _run_on_the_same_data(recipe: Recipe, run_dirs: Iterable[RunDir]) -> RunDir | None:
    """Returns the first run whose recipe reads the same data, of however many examples."""

    def read_by(other: Recipe) -> DataSettings:
        return dataclasses.replace(other.data, train_examples=None)

    wanted = read_by(recipe)
    same = (run for run in run_dirs if read_by(load_recipe(run.recipe_path)) == wanted)
    return next(same, None)


def _refuse_edits(folder: RunDir, recipes: Iterable[Recipe]) -> None:
    """Refuses recipes whose files were edited since a series began.

    Raises:
        UserError: One was.
    """
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


def open_named_series(folder: str, names: Sequence[str], num_seeds: int | None) -> Series:
    """Opens the series in a folder; what else the command line says must not differ from it.

    Args:
        folder: The folder.
        names: The recipes that are named beside it; none where the folder says it.
        num_seeds: The number of seeds that is given beside it.

    Raises:
        UserError: If something differs, or the series is damaged.
    """
    series = open_series(folder)
    own = [recipe.name for recipe in series.recipes]
    recipes = [load_recipe(name) for name in names]
    named = [recipe.name for recipe in recipes] or own
    if (named, num_seeds or series.num_seeds) != (own, series.num_seeds):
        raise UserError(
            f"The runs in {folder} are others than those named.",
            received=f"{', '.join(named)}; --seeds {num_seeds}",
            expected=f"{', '.join(own)}; --seeds {series.num_seeds}, or neither of them",
            fix=f"--resume {shlex.quote(folder)} alone.",
        )
    _refuse_edits(series.folder, recipes)
    return series


def check_seeds(num_seeds: int | None) -> None:
    """Refuses a number of seeds that is none.

    Raises:
        UserError: If it is below 1.
    """
    if num_seeds is not None and num_seeds < 1:
        raise UserError("--seeds is how many there are.", received=num_seeds, expected="1 or more")


def refuse_seed(recipe: Recipe, num_seeds: int | None) -> None:
    """Refuses a seed of the user's beside a number of seeds.

    Raises:
        UserError: If both are given.
    """
    if num_seeds is not None and "training.seed" in recipe.overridden:
        raise UserError(
            f"--seeds {num_seeds} runs with seeds 1 to {num_seeds}, and training.seed is given, "
            "too.",
            received=f"training.seed={recipe.training.seed}",
            fix="give one of them.",
        )


def silence_retracing() -> None:
    """Drops TensorFlow's advice against tracing again: each run has a model of its own to trace."""
    logger = logging.getLogger("tensorflow")
    logger.addFilter(_is_no_advice)  # one function, so that it is added once


def _is_no_advice(record: logging.LogRecord) -> bool:
    return "tf.function retracing" not in record.getMessage()


def read_finished(recipe: Recipe, path: Path) -> Finished:
    """Reads what a finished run left in its run directory.

    Raises:
        UserError: If it is not finished.
    """
    run_dir = RunDir(Path(path))
    return Finished(recipe, run_dir, run_dir.read_json(run_dir.metrics_path.name))


def _record(recipes: Sequence[Recipe], num_seeds: int | None) -> dict[str, object]:
    return {"recipes": [recipe.name for recipe in recipes], "num_seeds": num_seeds}


def _describe_seeds(num_seeds: int | None) -> str:
    return "the seed of the recipe" if num_seeds is None else f"seeds 1 to {num_seeds}"


def _with_seed(recipe: Recipe, seed: int, *, export: bool) -> Recipe:
    return dataclasses.replace(
        recipe,
        training=dataclasses.replace(recipe.training, seed=seed),
        export=dataclasses.replace(recipe.export, enabled=recipe.export.enabled and export),
        overridden=recipe.overridden | {"training.seed"},
    )
