"""GLUE's metrics, as tasks compute them from logits, against published worked cases.

The cases are those of the GLUE metric in Hugging Face `evaluate`: the examples in its
metrics/glue/README.md and in the docstring of its metrics/glue/glue.py. That metric calls
scikit-learn's `f1_score` and `matthews_corrcoef` and SciPy's `pearsonr` and `spearmanr`, which also
stand beside ours here.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score, matthews_corrcoef

from kerasft.tasks.task import build_task

CLASSES = ("not_equivalent", "equivalent")
FIVE = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def of_classes(references, predictions):
    logits = np.eye(2, dtype=np.float32)[predictions] * 3
    return build_task("single", CLASSES).evaluate(np.array(references), logits)


def of_numbers(references, predictions, **settings):
    logits = np.array(predictions, np.float32)[:, np.newaxis]
    return build_task("number", (), **settings).evaluate(np.float32(references), logits)


@pytest.mark.parametrize(
    ("references", "predictions", "accuracy", "f1", "matthews"),
    [
        ([0, 1], [0, 1], 1.0, 1.0, 1.0),  # published, of MRPC and of CoLA
        ([0, 1], [1, 0], 0.0, 0.0, -1.0),  # control: all wrong
        # Published, of CoLA. One class predicted: undefined, and 0 in the official script.
        ([0, 1], [1, 1], 0.5, pytest.approx(2 / 3), 0.0),
    ],
)
def test_mrpc_and_cola_published(references, predictions, accuracy, f1, matthews):
    metrics = of_classes(references, predictions)
    assert (metrics["accuracy"], metrics["f1/equivalent"]) == (accuracy, f1)
    assert metrics["matthews_correlation"] == matthews


@pytest.mark.parametrize(
    ("predictions", "expected"),
    # Out of 0 to 5 on purpose: the metric is of numbers as they are.
    [(FIVE, 1.0), ([-10.0, -11.0, -12.0, -13.0, -14.0, -15.0], -1.0)],
)
def test_stsb_published_maximum_and_minimum(predictions, expected):
    metrics = of_numbers(FIVE, predictions)
    assert (metrics["pearson"], metrics["spearman"]) == pytest.approx((expected, expected))


def test_stsb_control_clipping_changes_the_answer():
    inside, clipped = (
        of_numbers(FIVE, [0.0, 1.0, 2.0, 3.0, 4.0, 50.0], value_range=limits)["pearson"]
        for limits in ((None, None), (0, 5))
    )
    assert clipped == pytest.approx(1.0)
    assert inside < 0.9


def test_larger_cases_as_the_official_script_computes_them():
    generator = np.random.default_rng(0)
    references = generator.integers(2, size=408)
    predictions = np.where(generator.random(408) < 0.8, references, 1 - references)
    found = of_classes(references, predictions)
    assert found["accuracy"] == (predictions == references).mean()
    assert found["f1/equivalent"] == f1_score(y_true=references, y_pred=predictions)
    assert found["matthews_correlation"] == matthews_corrcoef(references, predictions)
    # Control: F1 is of the class "equivalent", which is class 1, and not of the other.
    assert found["f1/not_equivalent"] != pytest.approx(found["f1/equivalent"], abs=1e-4)
    scores = generator.uniform(0, 5, 408).astype(np.float32)
    guesses = (scores + generator.normal(size=408)).astype(np.float32)
    numbers = of_numbers(scores, guesses)
    # The script's float32 against our float64.
    assert numbers["pearson"] == pytest.approx(stats.pearsonr(guesses, scores)[0], abs=1e-6)
    assert numbers["spearman"] == pytest.approx(stats.spearmanr(guesses, scores)[0], abs=1e-9)
