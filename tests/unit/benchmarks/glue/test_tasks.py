"""The table of GLUE's tasks, held against the data that TFDS has."""

from __future__ import annotations

import pytest

from kerasft.benchmarks.glue.tasks import FILES, TASKS, find_tasks, task_of
from kerasft.data.sources.source import load_source
from kerasft.errors import UserError
from kerasft.recipe import load_recipe

NAMES = ["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
COUNTS = {
    "CoLA.tsv": 1063,
    "SST-2.tsv": 1821,
    "MRPC.tsv": 1725,
    "STS-B.tsv": 1379,
    "QQP.tsv": 390965,
    "MNLI-m.tsv": 9796,
    "MNLI-mm.tsv": 9847,
    "AX.tsv": 1104,
    "QNLI.tsv": 5463,
    "RTE.tsv": 3000,
    "WNLI.tsv": 146,
}
TRUNCATED = {"qqp", "mnli", "qnli"}  # their train splits, in ../shared/tfds


def test_the_table_holds_nine_tasks_and_eleven_files():
    assert list(TASKS) == NAMES
    assert {name: file.num_examples for name, file in FILES.items()} == COUNTS
    assert [file.name for file in TASKS["mnli"].files] == ["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"]


def test_each_task_reports_the_official_metrics():
    metrics = {name: [metric.name for metric in task.metrics] for name, task in TASKS.items()}
    assert metrics == {name: ["test/accuracy"] for name in NAMES} | {
        "cola": ["test/matthews_correlation"],
        "mrpc": ["test/accuracy", "test/f1/equivalent"],
        "qqp": ["test/accuracy", "test/f1/duplicate"],
        "stsb": ["test/pearson", "test/spearman"],
        "mnli": ["test/accuracy", "test_validation_mismatched/accuracy"],
    }


def test_the_leaderboard_gets_its_own_names_of_the_classes():
    assert FILES["WNLI.tsv"].answers == {"not_entailment": "0", "entailment": "1"}
    assert FILES["RTE.tsv"].answers == {n: n for n in ("entailment", "not_entailment")}
    assert FILES["CoLA.tsv"].answers == {"unacceptable": "0", "acceptable": "1"}
    assert FILES["STS-B.tsv"].answers == {}
    for name in ("MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"):
        assert set(FILES[name].answers.values()) == {"entailment", "neutral", "contradiction"}


@pytest.mark.parametrize("name", NAMES)
def test_each_task_is_what_tfds_has(name, shared_tfds):
    task = TASKS[name]
    source = load_source(task.dataset, data_dir=shared_tfds)
    assert source.label_names == task.label_names
    assert all(source.has_split(split) for split in task.test_splits)
    count = source.num_examples("train")
    assert count < task.num_train if name in TRUNCATED else count == task.num_train


@pytest.mark.parametrize("name", NAMES)
def test_each_task_has_a_recipe_that_chooses_on_a_tenth_of_train(name):
    recipe = load_recipe(TASKS[name].recipe)
    assert task_of(recipe) is TASKS[name]
    assert (recipe.data.validation_split, recipe.data.validation_fraction) == (None, 0.1)
    assert recipe.export.name == recipe.name  # not `glue`, which all tasks would share
    assert (recipe.training.monitor, recipe.model.sequence_length) == ("auto", 128)


def test_the_best_cola_is_chosen_by_what_is_reported():
    assert load_recipe("glue_cola").evaluation.headline == "matthews_correlation"


def test_tasks_are_found_by_name_in_the_order_of_the_table():
    assert [task.name for task in find_tasks("all")] == NAMES
    assert [task.title for task in find_tasks("rte, cola,rte")] == ["CoLA", "RTE"]


@pytest.mark.parametrize(("typed", "meant"), [("mrcp", "mrpc"), ("SST-2", "sst2"), ("al", "all")])
def test_an_unknown_task_is_told_with_the_nearest(typed, meant):
    message = f"There is no such GLUE task. Did you mean \"{meant}\"\\? Received: '{typed}'"
    with pytest.raises(UserError, match=message):
        find_tasks(f"rte,{typed}")


def test_ax_is_no_task_of_its_own():
    with pytest.raises(UserError, match=r"AX has no train split.*--task mnli"):
        find_tasks("ax")


def test_a_recipe_of_other_data_is_refused():
    with pytest.raises(UserError, match=r'not that of a GLUE task.*data.dataset="imdb_reviews"'):
        task_of(load_recipe("imdb"))
    with pytest.raises(UserError, match="not that of a GLUE task"):
        task_of(load_recipe("glue_rte", ["data.dataset=glue/ax"]))
    version = load_recipe("glue_rte", ["data.dataset=glue/rte:2.0.0"])
    assert task_of(version) is TASKS["rte"]


def test_a_recipe_that_reports_another_split_is_refused():
    recipe = load_recipe("glue_mnli", ['data.test_splits=["validation_matched"]'])
    with pytest.raises(UserError, match=r"reports validation_matched and validation_mismatched of"):
        task_of(recipe)
