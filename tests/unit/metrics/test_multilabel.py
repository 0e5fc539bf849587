"""Metrics of several labels against scikit-learn; thresholds against trying every one."""

import json
import warnings

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from kerasft.errors import UserError
from kerasft.metrics.multilabel import multilabel_metrics, multilabel_notes, tune_thresholds

NAMES = ("acting", "music", "plot", "pace")


def answers(num_labels=4, num_examples=300, seed=0):
    generator = np.random.default_rng(seed)
    labels = (generator.random((num_examples, num_labels)) < 0.3).astype(np.uint8)
    scores = np.clip(0.7 * generator.random(labels.shape) + 0.25 * labels, 0, 1)
    return labels, scores.astype(np.float32)


def in_scikit_learn(labels, scores, selected):
    """The metrics as scikit-learn computes them, its warnings about what is undefined unheard."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            f"{name}_{average}": getattr(sklearn_metrics, f"{name}_score")(
                labels, selected, average=average
            )
            for name, average in [
                ("f1", "micro"),
                ("f1", "macro"),
                ("f1", "samples"),
                ("precision", "micro"),
                ("recall", "micro"),
            ]
        }
        expected["average_precision_macro"] = sklearn_metrics.average_precision_score(
            labels, scores, average="macro"
        )
        by_label = sklearn_metrics.precision_recall_fscore_support(labels, selected)
    expected["subset_accuracy"] = sklearn_metrics.accuracy_score(labels, selected)
    expected["hamming_loss"] = sklearn_metrics.hamming_loss(labels, selected)
    expected["log_loss"] = np.mean(
        [
            sklearn_metrics.log_loss(column, score.astype(np.float64), labels=[0, 1])
            for column, score in zip(labels.T, scores.T, strict=True)
        ]
    )
    for kind, values in zip(("precision", "recall", "f1", "support"), by_label, strict=True):
        expected |= {f"{kind}/{name}": value for name, value in zip(NAMES, values, strict=False)}
    return expected


@pytest.mark.parametrize("num_labels", [2, 4])
def test_equals_scikit_learn(num_labels):
    labels, scores = answers(num_labels)
    selected = scores >= 0.5
    found = multilabel_metrics(labels, scores, selected, NAMES[:num_labels])
    expected = in_scikit_learn(labels, scores, selected)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-12)
    assert {type(value) for value in found.values()} == {float}


def test_undefined_is_what_scikit_learn_says():
    # "acting" is never given, "music" given without an example, "plot" neither; the third example
    # has no label and is given none.
    labels = np.array([[1, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]])
    scores = np.array([[0.2, 0.8, 0.1, 0.9], [0.3, 0.1, 0.1, 0.2], [0.1, 0.1, 0.1, 0.1]])
    selected = scores >= 0.5
    found = multilabel_metrics(labels, scores, selected, NAMES)
    assert found == pytest.approx(in_scikit_learn(labels, scores, selected), abs=1e-12)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert multilabel_notes(labels, scores, selected, NAMES) == [
        'Never given, so precision and F1 are 0: "acting". The macro averages hold the zeros.',
        "Given without any example, so recall, F1 and average precision are 0: "
        '"music". The macro averages hold the zeros.',
        'Neither occurring nor given, so all its metrics are 0: "plot". '
        "The macro averages hold the zeros.",
        "1 of 3 examples have no label and are rightly given none: subset_accuracy counts them as "
        "right, f1_samples as 0.",
    ]


@pytest.mark.parametrize("labels", [[[0, 0]], [[1, 1]], [[1, 0], [1, 0]]])
@pytest.mark.parametrize("score", [0.0, 1.0])
def test_the_same_metrics_are_there_whatever_is_missing(labels, score):
    scores = np.full(np.shape(labels), score)
    found = multilabel_metrics(labels, scores, scores >= 0.5, ["a", "b"])
    usual = multilabel_metrics(np.eye(2), np.eye(2), np.eye(2), ["a", "b"])
    assert found.keys() == usual.keys()
    assert np.isfinite([*found.values()]).all()


def test_nothing_missing_gives_no_notes():
    labels, scores = answers(num_examples=100)
    labels[:, 0] = scores[:, 0] >= 0.5
    selected = (scores >= 0.5) | labels.astype(bool)
    selected[:, 1] |= ~labels.any(axis=1)
    assert multilabel_notes(labels, scores, selected, NAMES) == []


def test_one_label_is_counted_like_several():
    # scikit-learn would take the one column for two classes, and 3 of 4 right for the micro F1.
    labels, scores = np.array([[1], [1], [0], [0]]), np.array([[0.9], [0.2], [0.1], [0.3]])
    found = multilabel_metrics(labels, scores, scores >= 0.5, ["plot"])
    assert found["f1_micro"] == found["f1_macro"] == found["f1/plot"] == pytest.approx(2 / 3)
    assert found["subset_accuracy"] == 0.75


def test_control_rows_and_columns_are_told_apart():
    labels = np.array([[1, 1], [0, 1], [0, 0]])
    selected = np.array([[1, 1], [0, 0], [0, 1]])
    found = multilabel_metrics(labels, selected * 0.5 + 0.2, selected, ["a", "b"])
    assert found["f1_macro"] == pytest.approx((1 + 0.5) / 2)
    assert found["f1_samples"] == pytest.approx(1 / 3)
    assert found["f1_micro"] == pytest.approx(2 * 2 / (3 + 3))
    assert found["subset_accuracy"] == pytest.approx(1 / 3)
    assert found["hamming_loss"] == pytest.approx(2 / 6)


def test_bad_input():
    labels, scores = answers()
    with pytest.raises(ValueError, match="Received: 2 names for 4 classes"):
        multilabel_metrics(labels, scores, scores >= 0.5, ["a", "b"])
    with pytest.raises(UserError, match="same name"):
        multilabel_notes(labels, scores, scores >= 0.5, ["a", "a", "b", "c"])
    with pytest.raises(ValueError, match="zeros and ones"):
        multilabel_metrics(labels * 3, scores, scores >= 0.5, NAMES)


def best_f1(labels, scores):
    """The best F1 of any threshold, by trying them all in scikit-learn."""
    precision, recall, _ = sklearn_metrics.precision_recall_curve(labels, scores)
    return (2 * precision * recall / np.maximum(precision + recall, 1e-12)).max()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ties", [False, True])
def test_tuned_thresholds_give_the_best_f1(seed, ties):
    labels, scores = answers(seed=seed)
    scores = np.round(scores, 1) if ties else scores
    thresholds = tune_thresholds(labels, scores)
    assert thresholds.dtype == np.float32
    for column, threshold in enumerate(thresholds):
        given = scores[:, column] >= threshold
        found = sklearn_metrics.f1_score(labels[:, column], given)
        assert found == pytest.approx(best_f1(labels[:, column], scores[:, column]))
    usual, tuned = (
        sklearn_metrics.f1_score(labels, scores >= cuts, average="macro")
        for cuts in (0.5, thresholds)
    )
    assert tuned > usual + 0.01  # control: 0.5 is not the best here


def test_tuning_is_deterministic_and_lies_between_scores():
    labels, scores = answers()
    thresholds = tune_thresholds(labels, scores)
    order = np.random.default_rng(1).permutation(len(labels))
    assert np.array_equal(thresholds, tune_thresholds(labels[order], scores[order]))
    assert not np.isin(thresholds, scores).any()


@pytest.mark.parametrize(
    ("labels", "scores", "expected"),
    [
        ([0, 0, 0], [0.9, 0.2, 0.1], 0.5),  # no example: nothing to tune on
        ([1, 1, 0], [0.9, 0.6, 0.4], 0.5),  # 0.5 is as good as any
        ([1, 1, 0], [0.4, 0.3, 0.1], 0.2),
        ([0, 1, 1], [0.6, 0.8, 0.9], 0.7),
        ([1, 0, 1], [0.0, 0.0, 0.0], 0.0),  # all scores are one: give it to all
        ([1, 0, 0, 0, 1], [0.95, 0.9, 0.8, 0.7, 0.6], 0.925),  # F1 2/3 against 4/7 for all
        ([1, 1, 1, 0], [1, 1, 1, np.nextafter(np.float32(1), np.float32(0))], 1.0),
    ],
)
def test_thresholds_of_small_cases(labels, scores, expected):
    scores = np.array(scores, np.float32)[:, np.newaxis]
    (found,) = tune_thresholds(np.array(labels)[:, np.newaxis], scores)
    assert found == pytest.approx(expected, abs=1e-6)
    if labels[0] and not labels[-1]:  # control: what must not be given lies below
        assert scores[-1, 0] < found <= scores[0, 0]


def test_tuning_checks_its_input():
    with pytest.raises(ValueError, match="no probabilities"):
        tune_thresholds([[1], [0]], [[2.0], [-1.0]])
