"""What a command line asks for as a study."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.runs.arguments import LATEST
from kerasft.studies.tuning.budget import Finals
from kerasft.studies.tuning.journal import JOURNAL, TESTED, Journal
from kerasft.studies.tuning.plan import RESULT, make_plan, read_plan


@pytest.fixture
def plan(make_arguments):
    return lambda *recipe, **options: make_plan(make_arguments(*recipe, **options))


def test_what_is_left_out_is_as_usual(plan):
    found = plan("glue_mrpc")
    assert (found.method, found.trials, found.budget_seconds) == ("random", 10, None)
    assert (found.finals, found.finals_fixed) == (Finals(3, 3), False)
    assert (found.pruning, found.workers, found.source) == (True, 1, ())
    assert plan("glue_mrpc", budget="1h").trials is None
    assert plan("glue_mrpc", method="grid").trials is None


def test_a_recipe_that_may_fall_back_on_the_sample_is_run_by_its_name(plan):
    assert plan("imdb_quick", "training.epochs=2").source == ("imdb_quick", "training.epochs=2")
    assert plan("imdb_quick", "data.dataset=imdb_reviews").source == ()


def test_a_study_is_read_as_it_was_written(plan):
    made = plan("glue_mrpc", "training.epochs=2", finalists=2, budget="1h", trials=5)
    folder = made.open()
    found = read_plan(folder)
    assert found.recipe.values() == made.recipe.values()
    assert found.recipe.tuning == made.recipe.tuning
    assert found.overrides == ("training.epochs=2",)
    assert (found.trials, found.budget_seconds, found.finals) == (5, 3600, Finals(2, 3))
    assert found.finals_fixed
    record = folder.read_json("study.json")
    del record["finals"]
    folder.write_json("study.json", record)
    with pytest.raises(UserError, match=r"by another version of kerasft.*Expected: .*finals.*Fix"):
        read_plan(folder)


def test_it_is_resumed_by_its_folder_or_by_its_recipe(plan):
    folder = plan("glue_mrpc", "training.epochs=2").open()
    for options in ({"resume": str(folder.path)}, {"resume": LATEST}):
        found = plan("glue_mrpc", **options)
        assert found.folder == folder
        assert found.recipe.training.epochs == 2
    assert plan(None, resume=str(folder.path), trials=99, workers=2).trials == 99


def test_of_several_the_latest_is_gone_on_with(plan, monkeypatch):
    made = plan("glue_mrpc")
    for stamp in ("20260101-000000", "20260101-000000", "20251231-235959"):
        monkeypatch.setattr("kerasft.run_dir.folder.time.strftime", lambda _, s=stamp: s)
        made.open()
    assert plan("glue_mrpc", resume=LATEST).folder.path.name == "glue_mrpc_tuning-20260101-000000-2"


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        ((None,), {}, "Which recipe"),
        (("glue_mrpk",), {}, 'no such recipe. Did you mean "glue_mrpc"'),
        (("glue_mrpc",), {"trials": 0}, "--trials is how many there are. Received: 0"),
        (("glue_mrpc",), {"seeds": -1}, "--seeds is how many"),
        (("glue_mrpc",), {"finalists": 0}, "--finalists is how many"),
        (("glue_mrpc",), {"workers": 0}, "--workers is how many"),
        (("glue_mrpc",), {"budget": "soon"}, "--budget is no time"),
        (("glue_mrpc",), {"method": "bayes"}, 'no such method. Did you mean "bayesian"'),
        (("glue_mrpc",), {"resume": LATEST}, "nothing to resume: no search of this recipe"),
        ((None,), {"resume": LATEST}, "Which search"),
        ((None,), {"resume": "runs/none"}, "not the folder of a search. Received: 'runs/none'"),
        ((None,), {"resume": "training.epochs=1"}, "no setting can be changed"),
        (("classify",), {}, "names no files to train on"),
        (("glue_mrpc", "training.stop_after_epochs=1"), {}, "runs its finalists to their end"),
    ],
)
def test_a_mistake_is_told(plan, tmp_path, recipe, options, message):
    with pytest.raises(UserError, match=message):
        plan(*recipe, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_study_of_another_recipe_method_or_space_is_refused(plan, tmp_path):
    path = tmp_path / "mine.toml"
    lines = '[tuning]\n"model.dropout" = {choices = [0.1, 0.2]}\n'
    path.write_text(f"name = 'mine'\n{lines}")
    folder = str(plan(path, "training.epochs=2").open().path)

    def refuses(message, recipe=path, **options):
        with pytest.raises(UserError, match=message):
            plan(recipe, resume=folder, **options)

    refuses(r"another than the one named.*recipe: mine -> glue_mrpc", "glue_mrpc")
    refuses(r"method: random -> grid", method="grid")
    assert plan(path, resume=folder).folder is not None
    path.write_text(f"name = 'mine'\n{lines.replace('0.2', '0.3')}")
    refuses(r"model\.dropout: .*0\.2.* -> .*0\.3")
    path.write_text(f"name = 'mine'\n[training]\nbatch_size = 8\n{lines}")
    refuses(r"training\.batch_size: 32 -> 8")


def test_a_study_that_is_finished_is_refused(plan):
    folder = plan("glue_mrpc").open()
    Journal(folder.path / JOURNAL).add(TESTED, run_dir="runs/x", metrics={"test/accuracy": None})
    # Interrupted between the test and the results: those may be written, and no more than that.
    assert plan(None, resume=str(folder.path)).folder == folder
    message = r"winner of the search .* was tested, so the search is closed"
    for limit in ({"trials": 20}, {"budget": "2h"}, {"finalists": 1}, {"seeds": 1}):
        with pytest.raises(UserError, match=message):
            plan(None, resume=str(folder.path), **limit)
    folder.write_json(RESULT, {})
    with pytest.raises(UserError, match=message):
        plan(None, resume=str(folder.path))


def test_a_search_that_is_finished_without_a_test_may_be_resumed(plan):
    folder = plan("glue_mrpc").open()
    folder.write_json(RESULT, {})
    assert plan(None, resume=str(folder.path), trials=20).trials == 20
    # Earlier versions noted a test although there was no test split.
    Journal(folder.path / JOURNAL).add(TESTED, run_dir="runs/x", metrics={})
    assert plan(None, resume=str(folder.path), trials=20).trials == 20
