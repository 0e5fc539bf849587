"""The GLUE table: figures, scores and averages."""

from __future__ import annotations

import math

import pytest

from kerasft.benchmarks.glue.table import (
    describe_average,
    flat_figures,
    glue_table,
    print_glue_table,
)
from kerasft.benchmarks.glue.tasks import TASKS
from kerasft.recipe import load_recipe
from kerasft.run_dir import RunDir
from kerasft.studies.series import Finished


def run_of(task, *values, seed=1):
    """A finished run whose reported metrics are these."""
    metrics = {metric.name: v for metric, v in zip(TASKS[task].metrics, values, strict=True)}
    recipe = load_recipe(f"glue_{task}", {"training.seed": seed})
    # What must not be taken: validation, and a metric of the wrong class.
    others = {"validation/accuracy": 0.99, "test/f1/not_equivalent": 0.99, "test/f1_macro": 0.99}
    return Finished(recipe, RunDir("runs/r"), {"metrics": metrics | others})


def whole_table(without=()):
    # Dev figures of BERT-base from REFERENCE.md, where a task has two with the second made up.
    values = {
        "cola": (0.563,),
        "sst2": (0.927,),
        "mrpc": (0.84, 0.886),
        "stsb": (0.89, 0.886),
        "qqp": (0.896, 0.86),
        "mnli": (0.847, 0.849),
        "qnli": (0.918,),
        "rte": (0.693,),
        "wnli": (0.535,),
    }
    return glue_table([run_of(n, *v)] for n, v in values.items() if n not in without)


def test_a_task_with_two_figures_is_averaged_first():
    table = whole_table()
    scores = {row.task.name: row.score.mean for row in table.rows}
    assert scores["mrpc"] == pytest.approx(86.3)
    assert scores["mnli"] == pytest.approx(84.8)
    assert scores["cola"] == pytest.approx(56.3)
    expected = (56.3 + 92.7 + 86.3 + 88.8 + 87.8 + 84.8 + 91.8 + 69.3 + 53.5) / 9
    assert table.average == pytest.approx(expected)
    figures = [56.3, 92.7, 84, 88.6, 89, 88.6, 89.6, 86, 84.7, 84.9, 91.8, 69.3, 53.5]
    assert abs(table.average - sum(figures) / len(figures)) > 1  # the control: a mean of figures
    assert table.average_without_wnli == pytest.approx((expected * 9 - 53.5) / 8)
    assert [row.task.name for row in table.rows] == list(TASKS)


def test_the_average_says_what_it_is_of():
    assert describe_average(whole_table()) == (
        "Average of the 9 tasks: 79.0; without WNLI, as most papers give it: 82.2."
    )
    partly = whole_table(without=("qqp", "wnli"))
    assert [task.name for task in partly.missing] == ["qqp", "wnli"]
    assert describe_average(partly).endswith("It is not GLUE's: QQP, WNLI are missing.")
    assert describe_average(whole_table(without=("qqp",))).endswith("QQP is missing.")


def test_several_seeds_give_mean_and_deviation_of_each_figure_and_of_the_score():
    runs = [run_of("mrpc", a, f, seed=s) for s, (a, f) in enumerate([(0.8, 0.9), (0.7, 0.6)], 1)]
    (row,) = glue_table([runs]).rows
    assert row.seeds == (1, 2)
    assert row.figures["accuracy"].mean == pytest.approx(75)
    assert row.figures["accuracy"].std == pytest.approx(10 / math.sqrt(2))
    assert row.figures["F1"].std == pytest.approx(30 / math.sqrt(2))
    assert row.score.values == pytest.approx((85, 65))
    assert row.score.std == pytest.approx(20 / math.sqrt(2))


def test_the_table_is_printed_with_one_decimal(capsys):
    seeds = [run_of("mrpc", a, 0.9, seed=s) for s, a in ((1, 0.78), (2, 0.8), (3, 0.81))]
    print_glue_table(glue_table([seeds, [run_of("rte", 0.6931)]]))
    out = capsys.readouterr().out
    cells = [line.split() for line in out.splitlines()]
    assert ["MRPC", "accuracy", "79.7", "±", "1.5", "84.8", "±", "0.8", "3"] in cells
    assert ["F1", "90.0", "±", "0.0"] in cells
    assert ["RTE", "accuracy", "69.3", "69.3", "1"] in cells
    assert "Average of 2 of the 9 tasks: 77.1." in out


def test_one_task_alone_has_no_average(capsys):
    print_glue_table(glue_table([[run_of("rte", 0.5)]]))
    assert "verage" not in capsys.readouterr().out


def test_an_undefined_figure_is_said_and_not_left_out(capsys):
    runs = [[run_of("stsb", None, 0.5)], [run_of("rte", 0.5)]]
    table = glue_table(runs)
    print_glue_table(table)
    out = capsys.readouterr().out
    assert "Average of 2 of the 9 tasks: undefined." in out
    assert [cells for cells in map(str.split, out.splitlines()) if "Pearson" in cells] == [
        ["STS-B", "Pearson", "undefined", "undefined", "1"]
    ]
    assert math.isnan(table.average)


def test_the_table_as_plain_data():
    table = glue_table([[run_of("stsb", 0.8, 0.9, seed=s) for s in (1, 2)]]).to_json()
    assert table["tasks"]["stsb"]["seeds"] == (1, 2)
    assert table["tasks"]["stsb"]["metrics"]["Pearson"]["mean"] == pytest.approx(80)
    assert table["tasks"]["stsb"]["score"]["mean"] == pytest.approx(85)
    assert "mnli" in table["missing"]


def test_flat_figures_are_fractions_under_the_names_of_the_metrics():
    runs = [[run_of("mnli", 0.6, 0.5), run_of("mnli", 0.8, 0.5)], [run_of("rte", 0.7)]]
    flat = flat_figures(glue_table(runs))
    assert flat.pop("average") == pytest.approx((60 + 70) / 2)
    assert flat == pytest.approx(
        {
            "mnli/test/accuracy": 0.7,
            "mnli/test/accuracy_std": 0.2 / math.sqrt(2),
            "mnli/test_validation_mismatched/accuracy": 0.5,
            "mnli/test_validation_mismatched/accuracy_std": 0.0,
            "rte/test/accuracy": 0.7,
        }
    )
