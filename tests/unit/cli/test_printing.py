"""What is printed when a run is over, for each kind of label."""

from __future__ import annotations

from pathlib import Path

import pytest

from kerasft.cli.printing import print_confusion, print_metrics, print_run
from kerasft.console import predict_command
from kerasft.run_dir.result import Run

SINGLE = {
    "validation/accuracy": 0.5,
    "test/accuracy": 0.875,
    "test/accuracy_lower": 0.75,
    "test/accuracy_upper": 0.9375,
    "test/f1/neg": 0.8,
    "test/support/neg": 1250.0,
    "test/support/pos": 3.0,
}
MULTI = {
    "test/f1_micro": 0.625,
    "test/f1/acting": 0.6,
    "test/support/acting": 7.0,
    "test/threshold/acting": 0.3125,
}
NUMBER = {"test/pearson": 0.8125, "test/spearman": float("nan")}


def run(metrics, **changes):
    facts = {
        "path": Path("runs/imdb"),
        "metrics": metrics,
        "saved_model": Path("saved_models/imdb/1"),
        "history": [],
        "train": {},
        "preset": "tiny_random",
        "data": "builtin-sample",
        "label_names": ("neg", "pos"),
        "confusion": [[12, 3], [1, 4]],
    }
    return Run(**facts | changes)


def words(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_classes_have_metrics_intervals_and_a_row_each(capsys):
    print_metrics(SINGLE, "test")
    lines = words(capsys)
    assert ["accuracy", "0.8750", "0.7500", "-", "0.9375"] in lines
    assert ["neg", "-", "-", "0.8000", "1,250"] in lines
    assert ["pos", "-", "-", "-", "3"] in lines  # a class without F1 has a row, too
    assert not any("_lower" in word for line in lines for word in line)


def test_only_the_split_asked_for_is_shown(capsys):
    print_metrics(SINGLE, "validation")
    lines = words(capsys)
    assert ["accuracy", "0.5000"] in lines
    assert ["neg"] not in [line[:1] for line in lines]


def test_several_labels_have_thresholds(capsys):
    print_metrics(MULTI, "test")
    lines = words(capsys)
    assert ["label", "precision", "recall", "f1", "support", "threshold"] in lines
    assert ["acting", "-", "-", "0.6000", "7", "0.3125"] in lines


def test_numbers_have_no_class_table_and_may_be_undefined(capsys):
    print_metrics(NUMBER, "test")
    lines = words(capsys)
    assert ["pearson", "0.8125"] in lines
    assert ["spearman", "undefined"] in lines
    assert not any("precision" in line for line in lines)


def test_a_confusion_matrix_only_where_there_is_one(capsys):
    print_confusion(run(SINGLE))
    assert ["neg", "12", "3"] in words(capsys)
    print_confusion(run(NUMBER, confusion=None, label_names=()))
    assert words(capsys) == []


def test_a_run_says_where_everything_is_and_what_is_next(capsys):
    print_run(run(SINGLE))
    out = capsys.readouterr().out
    assert "Tested on builtin-sample, with the preset tiny_random." in out
    assert "model      saved_models/imdb/1" in out
    assert "report     runs/imdb/report.md" in out
    assert predict_command(Path("saved_models/imdb")) in out
    assert "--logdir runs" in out
    assert "test:" not in out.split()


def test_a_run_without_export_has_no_model(capsys):
    print_run(run(SINGLE, saved_model=None))
    out = capsys.readouterr().out
    assert "model " not in out
    assert " predict " not in out


def test_each_split_that_was_tested_on_is_shown_under_its_name(capsys):
    further = {"test_validation_mismatched/accuracy": 0.6875}
    print_run(run(SINGLE | further))
    out = capsys.readouterr().out
    assert out.index("test:") < out.index("0.8750")
    assert out.index("0.8750") < out.index("test_validation_mismatched:") < out.index("0.6875")
    assert "0.5000" not in out


def test_a_run_names_the_data_that_it_was_tested_on(capsys):
    data = {"validation": "a.csv (held out of train)", "test": "b.csv"}
    print_run(run(SINGLE, data="a.csv", evaluation_data=data))
    assert "\nTested on b.csv, with the preset" in capsys.readouterr().out
    print_run(run({"validation/accuracy": 0.5}, data="a.csv", evaluation_data=data))
    out = capsys.readouterr().out
    assert "0.5000" in out
    assert "No test split: validated on a.csv (held out of train), with" in out
    print_run(run({"validation/accuracy": 0.5}))
    assert "No test split: validated on builtin-sample" in capsys.readouterr().out
    further = {"test_b/accuracy": 0.6875}
    two = {"test": "glue/mnli (a)", "test_b": "glue/mnli (b)"}
    print_run(run(SINGLE | further, evaluation_data=two))
    assert "Tested on glue/mnli (a) and glue/mnli (b), with" in capsys.readouterr().out


def test_a_run_says_why_a_metric_is_undefined(capsys):
    note = 'test: All examples are "pos", so ROC-AUC is undefined.'
    made = run(SINGLE | {"test/roc_auc": float("nan")}, notes=[note])
    print_run(made)
    assert f"\n{note}\nTested on" in capsys.readouterr().out
    assert made.to_json()["notes"] == [note]


@pytest.mark.parametrize("folder", ["saved_models/imdb", "my models/imdb"])
def test_the_predict_command_is_one_for_a_shell(folder):
    command = predict_command(Path(folder))
    assert f'predict {folder if " " not in folder else repr(folder)} "' in command
