"""Files of a user's own, from the table to the answers: classes, several labels, numbers, pairs."""

from __future__ import annotations

import csv
import functools
import itertools
import json

import numpy as np
import pytest

import kerasft
from kerasft.run_dir import open_run_dir
from kerasft.runs.evaluate import evaluate_run
from kerasft.runs.export import export_run

FEELINGS = {"wonderful": "5", "bright": "5", "dull": "1", "broken": "1"}
COLOURS = ("blue", "green", "red")
NAMES = ("vase", "lamp", "chair", "table", "clock", "bowl", "shelf", "cup", "box", "desk")
QUICK = {
    "model.preset": "tiny_random",
    "model.sequence_length": 24,
    "training.learning_rate": 3e-3,
    "training.epochs": 4,
    "training.dtype_policy": "float32",
    "evaluation.bootstrap_resamples": 20,
    "logging.plots": False,
    "export.verify": False,
}


def rows():
    """Things with a feeling, colours and a price that the words give away."""
    kinds = itertools.product(NAMES, FEELINGS, range(8))
    for name, feeling, colours in kinds:
        chosen = [colour for bit, colour in enumerate(COLOURS) if colours >> bit & 1]
        text = f"This {name} is {feeling}, {' and '.join(chosen) or 'plain'}."
        yield {
            "body": text,
            "title": name,
            "stars": FEELINGS[feeling],
            "colours": "|".join(chosen),
            "price": len(chosen) - 1 + (0.5 if FEELINGS[feeling] == "5" else 0),
            "maker": f"maker {NAMES.index(name)}",
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two CSV files, test with things of its own."""
    folder = tmp_path_factory.mktemp("classify")
    whole = list(rows())
    parts = {
        "train.csv": [row for row in whole if row["title"] not in NAMES[-2:]],
        "test.csv": [row for row in whole if row["title"] in NAMES[-2:]],
    }
    for name, part in parts.items():
        with (folder / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, part[0])
            writer.writeheader()
            writer.writerows(part)
    return folder


@pytest.fixture
def classify(folder, monkeypatch):
    """Runs the pipeline on the files; returns the run and a predictor of its model."""
    monkeypatch.chdir(folder)

    def run(**overrides):
        given = {"data.train_files": ["train.csv"], "data.test_files": ["test.csv"]}
        named = {name.replace("__", "."): value for name, value in overrides.items()}
        run = kerasft.run("classify", {**QUICK, **given, "data.text_column": "body", **named})
        return run, run.saved_model and kerasft.load(run.saved_model)

    return run


def test_texts(folder):
    with (folder / "test.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


test_texts.__test__ = False


def test_several_labels(classify, folder):
    run, predictor = classify(data__label_column="colours", export__name="colours")
    assert run.metrics["test/f1_micro"] > 0.8
    task = json.loads((run.path / "metrics.json").read_text())["task"]
    assert task["label_names"] == list(COLOURS)
    answers = predictor.predict([row["body"] for row in test_texts(folder)])
    hits = misses = 0
    for answer, row in zip(answers, test_texts(folder), strict=True):
        wanted = set(filter(None, row["colours"].split("|")))
        over = [
            n for n, t in zip(COLOURS, task["thresholds"], strict=True) if answer["scores"][n] >= t
        ]
        assert answer["labels"] == over  # the thresholds of validation are inside the model
        hits += len(wanted & set(answer["labels"]))
        misses += len(wanted ^ set(answer["labels"]))
    assert 2 * hits / (2 * hits + misses) == pytest.approx(run.metrics["test/f1_micro"], abs=1e-6)
    assert any(not answer["labels"] for answer in answers)  # plain things


def test_numbers(classify, folder):
    run, predictor = classify(
        data__label_column="price",
        export__name="price",
        training__epochs=12,
        model__maximum_value=2.0,
    )
    assert run.metrics["test/pearson"] > 0.7
    values = [a["value"] for a in predictor.predict([r["body"] for r in test_texts(folder)])]
    truth = [float(row["price"]) for row in test_texts(folder)]
    assert np.corrcoef(values, truth)[0, 1] == pytest.approx(run.metrics["test/pearson"], abs=1e-4)
    assert max(values) <= 2.0


def test_pairs_in_groups_with_balanced_classes(classify, folder):
    run, predictor = classify(
        data__label_column="stars",
        data__text_pair_column="title",
        data__group_column="maker",
        training__class_weights="balanced",
        export__name="pairs",
    )
    assert run.metrics["test/f1_macro"] > 0.65
    rows = test_texts(folder)
    answers = predictor.predict([r["body"] for r in rows], [r["title"] for r in rows])
    assert set(answers[0]["probabilities"]) == {"1", "5"}
    right = [a["label"] == row["stars"] for a, row in zip(answers, rows, strict=True)]
    assert np.mean(right) == pytest.approx(run.metrics["test/accuracy"])


def test_windows_are_read_alike_in_evaluation_and_serving(classify, folder):
    run, predictor = classify(
        data__label_column="stars",
        export__name="windows",
        model__truncation="windows",
        model__sequence_length=8,
        model__max_windows=3,
    )
    saved = np.load(run.path / "predictions-test.npz")
    answers = predictor.predict([row["body"] for row in test_texts(folder)])
    scores = np.array([list(answer["probabilities"].values()) for answer in answers])
    powers = np.exp(saved["logits"])
    assert np.allclose(scores, powers / powers.sum(-1, keepdims=True), atol=1e-5)
    assert run.metrics["test/accuracy"] > 0.65


def test_without_test_files_a_run_ends_with_validation_and_evaluates_again(classify):
    run, _ = classify(data__label_column="colours", data__test_files=[], export__enabled=False)
    assert not [name for name in run.metrics if name.startswith("test")]
    again = evaluate_run(open_run_dir(run.path))
    assert again["validation/f1_micro"] == pytest.approx(run.metrics["validation/f1_micro"])
    exported = export_run(open_run_dir(run.path))
    assert kerasft.load(exported).predict(["This vase is dull, red."])[0]["scores"]


def test_a_new_head_on_the_encoder_of_an_earlier_run(classify):
    classify = functools.partial(classify, export__enabled=False, training__epochs=1)
    first, _ = classify(data__label_column="stars")
    second, _ = classify(data__label_column="colours", model__init_from=str(first.path))
    plain, _ = classify(data__label_column="colours")
    assert second.history[0]["loss"] != plain.history[0]["loss"]
