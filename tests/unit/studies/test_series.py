"""Series of runs: seeds, what is run again and what is not, mean and standard deviation."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.metrics.spread import spread
from kerasft.recipe import load_recipe
from kerasft.run_dir import create_run_dir
from kerasft.runs import train
from kerasft.studies.series import (
    Reporting,
    Series,
    is_series,
    open_series,
    read_finished,
    refuse_seed,
    run_series,
)


@pytest.fixture
def recipes():
    return [load_recipe(name) for name in ("glue_mrpc", "glue_rte")]


@pytest.fixture
def run_all(monkeypatch):
    """Runs a series of runs that take no time; returns what came, was run and was told."""

    def run_all(series, stop_after=None):
        calls, told = [], []

        def run(recipe, *, resume, runs_folder, **options):
            calls.append((recipe, resume))
            run_dir = resume or create_run_dir(recipe.name, runs_folder)
            run_dir.write_text("recipe.toml", recipe.to_toml())
            if len(calls) == stop_after:
                raise KeyboardInterrupt
            run_dir.write_json("metrics.json", {"metrics": {"test/accuracy": recipe.training.seed}})
            return SimpleNamespace(path=run_dir.path)

        monkeypatch.setattr(train, "run", run)
        monkeypatch.setattr("gc.collect", lambda: 0)  # a second each, with TensorFlow
        reporting, finished = Reporting("kerasft run", told.append), []
        try:
            with reporting.resume_hint(series):
                finished += run_series(series, reporting)
        except KeyboardInterrupt:
            finished = None
        return finished, calls, told

    return run_all


def begin(recipes, num_seeds, name="glue"):
    return Series(tuple(recipes), num_seeds).begin(name)


def seeds_of(finished):
    return [(run.recipe.name, run.seed) for run in finished]


ALL = [("glue_mrpc", 1), ("glue_mrpc", 2), ("glue_rte", 1), ("glue_rte", 2)]


def test_a_series_runs_each_recipe_with_each_seed_in_its_folder(recipes, run_all):
    series = begin(recipes, 2)
    finished, calls, told = run_all(series)
    assert seeds_of(finished) == ALL
    assert [run.metrics["test/accuracy"] for run in finished] == [1, 2, 1, 2]
    assert all(run.run_dir.path.parent == series.folder.path for run in finished)
    assert told[3] == "glue_rte, seed 2 (4 of 4)."
    assert all(run_dir is None for _, run_dir in calls)


def test_with_several_seeds_no_run_exports_and_with_one_it_does(recipes):
    assert not any(recipe.export.enabled for recipe in Series(tuple(recipes), 2).planned())
    assert all(recipe.export.enabled for recipe in Series(tuple(recipes), 1).planned())
    off = load_recipe("glue_rte", ["export.enabled=false"])
    assert not Series((off,), 1).planned()[0].export.enabled


def test_without_seeds_a_recipe_keeps_its_own():
    recipe = load_recipe("glue_rte", ["training.seed=7"])
    assert Series((recipe,)).planned() == [recipe]
    (planned,) = Series((recipe,), 1).planned()
    assert (planned.training.seed, "training.seed" in planned.overridden) == (1, True)


def test_a_series_that_was_cut_off_goes_on_where_it_stopped(recipes, run_all):
    series = begin(recipes, 2)
    finished, calls, told = run_all(series, stop_after=3)
    assert finished is None
    assert told[-1] == f"Go on with all of it: kerasft run --resume {series.folder.path}"
    begun = series.earlier()["glue_rte", 1]
    # What was left open is settled when a run begins.
    own = calls[2][0].to_toml().replace('dtype_policy = "auto"', 'dtype_policy = "float32"')
    begun.write_text("recipe.toml", own)

    finished, calls, told = run_all(open_series(series.folder.path))
    assert seeds_of(finished) == ALL
    (resumed, run_dir), (fresh, none) = calls
    assert (resumed.name, resumed.training.dtype_policy, run_dir) == ("glue_rte", "float32", begun)
    assert (fresh.name, fresh.training.seed, none) == ("glue_rte", 2, None)
    assert f"glue_mrpc, seed 1 (1 of 4): finished earlier in {series.folder.path}" in told[0]


def test_a_finished_run_counts_more_than_a_later_one_that_was_cut_off(recipes, run_all):
    series = begin(recipes[:1], 1)
    ((finished,), _, _) = run_all(series)
    later = create_run_dir("glue_mrpc", series.folder.path)
    later.write_text("recipe.toml", finished.recipe.to_toml())
    assert later.path.name > finished.run_dir.path.name
    assert series.earlier() == {("glue_mrpc", 1): finished.run_dir}


def test_what_is_to_be_run_is_kept_with_its_settings():
    series = begin([load_recipe("glue_rte", ["training.epochs=7"])], 3, "<recipe>_seeds")
    assert series.folder.path.name.startswith("glue_rte_seeds-")
    assert series.begin("glue") is series
    opened = open_series(series.folder.path)
    assert opened.recipes[0].training.epochs == 7
    assert (opened.num_seeds, is_series(series.folder.path), is_series("runs")) == (3, True, False)


def test_the_latest_series_of_the_same_recipes_and_seeds_is_found(recipes):
    wanted = Series(tuple(recipes), 3)
    first, latest = wanted.begin("glue"), wanted.begin("glue")
    begin(recipes[:1], 3)
    begin(recipes, None)
    assert wanted.latest("glue").folder == latest.folder != first.folder


def test_where_there_is_no_such_series_the_others_are_named(recipes):
    with pytest.raises(UserError, match=r"nothing to resume.*seed of the recipe.*runs/glue-\.\.\."):
        Series(tuple(recipes)).latest("glue")
    other = begin(recipes, None)
    message = rf"glue_mrpc, glue_rte; seeds 1 to 3'. Expected: one of {other.folder.path}"
    with pytest.raises(UserError, match=message):
        Series(tuple(recipes), 3).latest("glue")


def test_two_processes_do_not_work_on_one_series(recipes, run_all):
    series = begin(recipes, 2)
    with series.folder.lock(), pytest.raises(UserError, match="in use by another run"):
        run_all(series)


def test_a_run_that_is_not_finished_is_not_read(recipes):
    with pytest.raises(UserError, match=r"metrics.json is missing"):
        read_finished(recipes[0], create_run_dir("glue_mrpc").path)


def test_a_seed_beside_a_number_of_seeds_is_refused():
    recipe = load_recipe("glue_rte", ["training.seed=4"])
    with pytest.raises(UserError, match=r"seeds 1 to 3, and training\.seed is given, too.*seed=4"):
        refuse_seed(recipe, 3)
    refuse_seed(recipe, None)
    refuse_seed(load_recipe("glue_rte"), 3)


def test_advice_against_tracing_again_is_dropped_and_other_words_are_not(recipes, run_all, caplog):
    run_all(begin(recipes, 1))
    run_all(begin(recipes, 2))
    logger = logging.getLogger("tensorflow")
    logger.warning("5 out of the last 5 calls triggered tf.function retracing.")
    logger.warning("Something else.")
    filters = [f for f in logger.filters if getattr(f, "__name__", "") == "_is_no_advice"]
    assert [record.getMessage() for record in caplog.records] == ["Something else."]
    assert len(filters) == 1


def test_mean_and_standard_deviation_of_the_sample():
    values = [0.784, 0.801, 0.763]
    found = spread(values)
    assert found.mean == pytest.approx(np.mean(values), abs=1e-12)
    assert found.std == pytest.approx(np.std(values, ddof=1), abs=1e-12)
    assert abs(found.std - np.std(values)) > 0.003  # the control: divided by n
    assert found.values == tuple(values)


def test_one_value_has_no_deviation():
    assert spread([0.5]) == (0.5, None, (0.5,))


@pytest.mark.parametrize("undefined", [None, math.nan])
def test_an_undefined_value_is_not_left_out(undefined):
    found = spread([0.5, undefined, 0.7])
    assert math.isnan(found.mean)
    assert math.isnan(found.std)
    assert found.values[2] == 0.7
