"""Reports: what they must say, at 80 columns, with labels that look like markup."""

import io
import math
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from kerasft.evaluation.report import (
    DataFacts,
    ReportFacts,
    TrainingFacts,
    confusion_table,
    evaluation_table,
    render_report,
)
from kerasft.metrics.bootstrap import Interval
from kerasft.metrics.calibration import reliability_bins
from kerasft.metrics.classification import (
    classification_metrics,
    classification_notes,
    confusion,
)
from kerasft.metrics.facts import EvaluationFacts
from kerasft.tasks.measuring import measure
from kerasft.tasks.task import build_task


def evaluation_facts(label_names, num_examples=2000):
    generator = np.random.default_rng(0)
    num_classes = len(label_names)
    labels = generator.integers(num_classes, size=num_examples)
    logits = generator.normal(size=(num_examples, num_classes))
    logits[np.arange(num_examples), labels] += 2
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return EvaluationFacts(
        split="test",
        headline="accuracy",
        num_examples=num_examples,
        label_names=label_names,
        metrics=classification_metrics(labels, probabilities, label_names),
        intervals={"accuracy": Interval(0.8715, 0.8561, 0.8872, 0.95)},
        confusion=confusion(labels, probabilities.argmax(axis=1), num_classes),
        bins=reliability_bins(labels, probabilities),
        notes=classification_notes(labels, probabilities, label_names),
    )


def report_facts(**changes):
    facts = ReportFacts(
        title="IMDB reviews",
        recipe="imdb_quick",
        preset="minilm_l6_en_uncased",
        data=DataFacts(
            "imdb_reviews/plain_text",
            "1.0.0",
            {"train": 22_377, "validation": 2_500, "test": 25_000},
            {"train, also in test": 123, "test, no text": 2},
            {"validation": "a.csv (held out of train)", "test": "b.csv"},
        ),
        training=TrainingFacts(
            steps=1400,
            seconds=332.4,
            examples_per_second=134.8,
            tokens_per_second=21_932.4,
            padding_share=0.0312,
            idle_share=0.0123,
            monitor="validation/accuracy",
            best_step=1300,
            best_value=0.9012,
            dtype_policy="mixed_bfloat16",
            device="CPU (2 cores)",
        ),
        evaluation=evaluation_facts(["neg", "pos"]),
        environment={"python": "3.12.1", "packages": {"tensorflow": "2.20.0"}, "argv": ["-m", "x"]},
        overridden=["training.epochs=1"],
        commands=['kerasft predict saved_models/imdb "A quiet film."'],
    )
    return replace(facts, **changes)


def terminal(table, width=80):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    return [line.split() for line in lines if "─" not in line and line.strip()], lines


def cells(report, first):
    """The cells of the report's table row that starts with `first`."""
    rows = [[c.strip() for c in line.strip("|").split(" | ")] for line in report.splitlines()]
    (found,) = [row for row in rows if row[0] == first]
    return found[1:]


def test_evaluation_table_has_metrics_then_classes():
    facts = evaluation_facts(["neg", "pos"])
    rows, lines = terminal(evaluation_table(facts.metrics, facts.label_names, facts.intervals))
    metrics = facts.metrics
    assert rows[0] == ["metric", "value", "95", "%", "interval"]
    accuracy = f"{metrics['accuracy']:.4f}"
    assert rows[1] == ["accuracy", accuracy, "0.8561", "-", "0.8872"]
    assert ["log_loss", f"{metrics['log_loss']:.4f}"] in rows
    assert rows[-3] == ["class", "precision", "recall", "f1", "support"]
    of_pos = [f"{metrics[f'{name}/pos']:.4f}" for name in ("precision", "recall", "f1")]
    assert rows[-1] == ["pos", *of_pos, f"{metrics['support/pos']:,.0f}"]
    assert max(map(len, lines)) <= 80


def test_evaluation_table_without_intervals():
    facts = evaluation_facts(["neg", "pos"])
    rows, _ = terminal(evaluation_table(facts.metrics, facts.label_names, {}))
    assert rows[0] == ["metric", "value"]
    assert rows[1] == ["accuracy", f"{facts.metrics['accuracy']:.4f}"]


def test_a_class_without_metrics_shows_dashes():
    metrics = classification_metrics([0, 1], [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], ["a", "b", "c"])
    rows, _ = terminal(evaluation_table(metrics, ["a", "b", "c"], {}))
    assert rows[-1] == ["c", "-", "-", "-", "0"]


@pytest.mark.parametrize(
    "label_names",
    [["neg", "pos"], [f"a_longer_name_{i}" for i in range(6)], ["[red]x[/red] " * 4, "y", "z"]],
)
def test_nothing_is_wider_than_80_columns_and_labels_are_no_markup(label_names):
    facts = evaluation_facts(label_names)
    _, metric_lines = terminal(evaluation_table(facts.metrics, label_names, facts.intervals))
    _, confusion_lines = terminal(confusion_table(facts.confusion, label_names))
    assert max(map(len, metric_lines + confusion_lines)) <= 80
    for lines in (metric_lines, confusion_lines):
        assert ("[red]" in "".join(lines)) == ("[red]" in label_names[0])
    # A figure must never be cut or folded.
    assert f"{facts.metrics['support/' + label_names[-1]]:,.0f}" in "".join(metric_lines)


def test_confusion_table_is_the_matrix():
    rows, _ = terminal(confusion_table(np.array([[1200, 7], [30, 5]]), ["neg", "[red]"]))
    assert rows == [
        ["true", "/", "predicted", "neg", "[red]"],
        ["neg", "1,200", "7"],
        ["[red]", "30", "5"],
    ]


def test_confusion_table_of_many_classes_lists_the_largest_errors():
    counts = np.diag(np.full(20, 90))
    counts[3, 7], counts[5, 1] = 10, 30
    names = [f"intent_{index}" for index in range(20)]
    rows, _ = terminal(confusion_table(counts, names))
    assert rows[1:] == [
        ["intent_5", "intent_1", "30", "25.0%"],
        ["intent_3", "intent_7", "10", "10.0%"],
    ]


def test_confusion_must_fit_the_names():
    with pytest.raises(ValueError, match=r"Received: shape \(2, 2\)\. Expected: \(3, 3\)"):
        confusion_table(np.eye(2, dtype=int), ["a", "b", "c"])


def test_report_says_every_fact():
    report = render_report(report_facts())
    accuracy = f"{report_facts().evaluation.metrics['accuracy']:.4f}"
    assert report.startswith("# IMDB reviews\n\n")
    assert f"**accuracy {accuracy}** (95 % interval 0.8561 - 0.8872) on 2,000 test ex" in report
    assert cells(report, "recipe") == ["imdb_quick"]
    assert cells(report, "set by hand") == ["training.epochs=1"]
    assert cells(report, "preset") == ["minilm_l6_en_uncased"]
    assert cells(report, "data") == ["imdb_reviews/plain_text 1.0.0"]
    assert cells(report, "validation") == ["2,500"]
    assert cells(report, "tested on") == ["b.csv"]
    assert cells(report, "left out: train, also in test") == ["123"]
    assert cells(report, "left out: test, no text") == ["2"]
    assert cells(report, "steps") == ["1,400"]
    assert cells(report, "time") == ["5 min 32 s (332.4 s)"]
    assert "compiling" not in report
    assert cells(report, "examples/s") == ["134.8"]
    assert cells(report, "tokens/s") == ["21,932"]
    assert cells(report, "padding share") == ["3.1%"]
    assert cells(report, "idle share") == ["1.2%"]
    assert cells(report, "best step") == ["1,300 (validation/accuracy 0.9012)"]
    assert cells(report, "dtype policy") == ["mixed_bfloat16"]
    assert cells(report, "device") == ["CPU (2 cores)"]
    assert cells(report, "packages tensorflow") == ["2.20.0"]
    assert cells(report, "argv") == ["-m x"]
    assert report.endswith('```sh\nkerasft predict saved_models/imdb "A quiet film."\n```\n')


def test_report_names_the_data_of_each_test_or_of_validation():
    data = report_facts().data

    def report_on(**evaluated):
        return render_report(report_facts(data=replace(data, evaluated=evaluated)))

    two = report_on(validation="v.csv", test="b.csv", test_further="c.csv")
    assert cells(two, "tested on") == ["b.csv and c.csv"]
    untested = report_on(validation="a.csv (held out of train)")
    assert cells(untested, "validated on") == ["a.csv (held out of train)"]
    assert "tested on" not in untested


def test_what_xla_took_is_told_apart():
    facts = report_facts()
    report = render_report(replace(facts, training=replace(facts.training, compile_seconds=51.62)))
    assert cells(report, "of it compiling") == ["51.6 s"]


def test_report_has_the_confusion_and_the_bins():
    facts = report_facts()
    report = render_report(facts)
    matrix = report.split("## Confusion matrix")[1].split("##")[0]
    assert cells(matrix, "neg") == [f"{count:,}" for count in facts.evaluation.confusion[0]]
    last = facts.evaluation.bins[-1]
    row = cells(report, "0.933")
    assert row[:2] == ["1.000", f"{last.num_examples:,}"]
    assert row[-1] == f"{last.accuracy - last.confidence:+.4f}"
    assert "0.067 |" not in report  # two classes leave the lower bins empty


def test_report_leaves_out_what_there_is_not():
    facts = report_facts(overridden=(), commands=())
    report = render_report(replace(facts, data=replace(facts.data, dropped={})))
    assert "set by hand" not in report
    assert "## Use the model" not in report
    assert cells(report, "left out") == ["0"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s (0.4 s)"), (59.6, "1 min 0 s (59.6 s)"), (5523, "1 h 32 min (5,523.0 s)")],
)
def test_durations(seconds, shown):
    facts = report_facts()
    report = render_report(replace(facts, training=replace(facts.training, seconds=seconds)))
    assert cells(report, "time") == [shown]


def test_notes_and_labels_cannot_break_the_markdown():
    names = ["a|b", "<br />", "two\nlines"]
    facts = replace(evaluation_facts(names), notes=["One | note."])
    report = render_report(report_facts(evaluation=facts))
    assert "\n- One \\| note.\n" in report
    assert "| a\\|b " in report
    assert "| \\<br /> " in report
    assert "two lines" in report
    tables = [block.splitlines() for block in report.split("\n\n") if block.startswith("|")]
    for lines in tables:
        assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
        assert len({len(line) for line in lines}) == 1


def label_set_facts(label_names=("acting", "music", "plot"), **settings):
    generator = np.random.default_rng(0)
    labels = (generator.random((1200, len(label_names))) < 0.3).astype(np.uint8)
    logits = (generator.normal(size=labels.shape) + 2 * labels - 1).astype(np.float32)
    task = build_task("multi", label_names, **settings)
    return measure(task, "test", labels, logits, bootstrap_resamples=50)


def number_facts(predictions=None, **settings):
    labels = np.random.default_rng(0).uniform(0, 5, 1500).astype(np.float32)
    logits = labels[:, np.newaxis] ** 2 if predictions is None else predictions(labels)
    task = build_task("number", (), **settings)
    return measure(task, "validation", labels, logits.astype(np.float32), bootstrap_resamples=50)


def headings(report):
    return [line.removeprefix("## ") for line in report.splitlines() if line.startswith("## ")]


COMMON = ["Data", "Training", "Environment", "Use the model"]


def test_each_kind_has_the_sections_that_it_can_fill():
    by_kind = {
        "single": evaluation_facts(["neg", "pos"]),
        "multi": label_set_facts(),
        "number": number_facts(),
    }
    found = {
        kind: headings(render_report(report_facts(evaluation=facts)))
        for kind, facts in by_kind.items()
    }
    assert found == {
        "single": ["Metrics", "By class", "Confusion matrix", "Calibration", *COMMON],
        "multi": ["Metrics", "By label", *COMMON],
        "number": ["Metrics", *COMMON],
    }


def test_several_labels_have_thresholds_in_table_and_report():
    facts = label_set_facts(thresholds=[0.5, 0.25, 0.625])
    rows, lines = terminal(evaluation_table(facts.metrics, facts.label_names, facts.intervals))
    assert rows[1][0] == "f1_micro"
    assert rows[-4] == ["label", "precision", "recall", "f1", "support", "threshold"]
    assert [row[-1] for row in rows[-3:]] == ["0.5000", "0.2500", "0.6250"]
    assert max(map(len, lines)) <= 80
    report = render_report(report_facts(evaluation=facts))
    assert f"**f1_micro {facts.metrics['f1_micro']:.4f}** (95 % interval " in report
    assert " on 1,200 test examples." in report
    support = f"{facts.metrics['support/music']:,.0f}"
    assert cells(report.split("## By label")[1], "music")[3:] == [support, "0.2500"]


def test_numbers_have_one_table_and_no_classes():
    facts = number_facts()
    rows, lines = terminal(evaluation_table(facts.metrics, facts.label_names, facts.intervals))
    names = ["pearson", "spearman", "mean_squared_error", "mean_absolute_error", "r2"]
    assert [row[0] for row in rows] == ["metric", *names]
    assert max(map(len, lines)) <= 80
    report = render_report(report_facts(evaluation=facts))
    pearson = f"**pearson {facts.metrics['pearson']:.4f}** (95 % interval "
    assert pearson in report
    assert " on 1,500 validation examples." in report
    assert cells(report, "spearman")[0] == "1.0000"


def test_what_is_undefined_is_called_so():
    facts = number_facts(lambda labels: np.zeros((len(labels), 1)))
    assert math.isnan(facts.metrics["pearson"])
    rows, _ = terminal(evaluation_table(facts.metrics, facts.label_names, facts.intervals))
    assert rows[1] == ["pearson", "undefined"]
    training = replace(report_facts().training, monitor="validation/pearson", best_value=math.nan)
    report = render_report(report_facts(evaluation=facts, training=training))
    assert "**pearson undefined** on 1,500 validation examples." in report
    assert "- All predictions are 0, so Pearson and Spearman are undefined." in report
    assert cells(report, "best step") == ["1,300 (validation/pearson undefined)"]
    assert "nan" not in report.lower()
    assert terminal(evaluation_table({"pearson": None}, (), {}))[0][1] == ["pearson", "undefined"]


def test_a_headline_of_one_class_has_its_row_and_interval():
    facts = label_set_facts(headline="f1/plot")
    rows, _ = terminal(evaluation_table(facts.metrics, facts.label_names, facts.intervals))
    (row,) = [row for row in rows if row[0] == "f1/plot"]
    assert row[1] == f"{facts.metrics['f1/plot']:.4f}"
    assert len(row) == 5
    assert "f1/music" not in {row[0] for row in rows}
