"""Weighted metrics: weights are repetitions, and SciPy and scikit-learn say what comes out.

The metrics of `classification`, `multilabel` and `regression`, which the weighted ones are held
against, are held against scikit-learn in tests of their own.
"""

import functools

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics

from kerasft.metrics.classification import classification_metrics
from kerasft.metrics.multilabel import multilabel_metrics
from kerasft.metrics.regression import regression_metrics
from kerasft.metrics.weighted import (
    WeightedMetric,
    weighted_mean,
    weighted_of_classes,
    weighted_of_label_sets,
    weighted_of_numbers,
)

NAMES = ("neg", "neutral", "pos")
GENERATOR = np.random.default_rng(4)
WEIGHTS = GENERATOR.integers(0, 4, size=(6, 80)).astype(np.float64)
NUMBERS = np.round(GENERATOR.uniform(0, 5, 80), 1)  # with ties
PREDICTIONS = np.round(NUMBERS + GENERATOR.normal(size=80), 1)
CLASSES = GENERATOR.integers(3, size=80)
APPLIES = GENERATOR.random((80, 3)) < 0.3
SCORES = np.round(0.6 * GENERATOR.random((80, 3)) + 0.3 * APPLIES, 2)
PROBABILITIES = GENERATOR.dirichlet(np.ones(3), 80) * 0.8 + np.eye(3)[CLASSES] / 5
TWO = np.stack([1 - SCORES[:, 0], SCORES[:, 0]], axis=1)
ONE = 5.0 * np.eye(80)[-1:]  # only the last example


def of_classes(labels=CLASSES, probabilities=PROBABILITIES):
    names = NAMES[: probabilities.shape[1]]
    return (
        functools.partial(classification_metrics, label_names=names),
        lambda name, *examples: weighted_of_classes(name, *examples, names),
        (labels, probabilities),
    )


def of_two_classes():
    return of_classes(APPLIES[:, 0].astype(int), TWO)


def of_label_sets():
    return (
        functools.partial(multilabel_metrics, label_names=NAMES),
        lambda name, *examples: weighted_of_label_sets(name, *examples, NAMES),
        (APPLIES, SCORES, SCORES > 0.4),
    )


def of_numbers():
    return regression_metrics, weighted_of_numbers, (NUMBERS, PREDICTIONS)


CASES = [of_classes, of_two_classes, of_label_sets, of_numbers]
# No measure, or one that resampling would bias.
WITHOUT = ("support", "expected_calibration_error")


def measures(case):
    metrics, weighted, examples = case()
    for name, value in metrics(*examples).items():
        if not name.startswith(WITHOUT):
            yield name, value, weighted(name, *examples)


@pytest.mark.parametrize("case", CASES)
def test_weights_of_one_give_the_metric(case):
    for name, value, weighted in measures(case):
        assert weighted(np.ones((2, 80))) == pytest.approx([value] * 2, abs=1e-12), name


@pytest.mark.parametrize("case", CASES)
def test_a_weight_is_a_repetition(case):
    metrics, _, examples = case()
    repeated = [np.repeat(np.arange(80), row.astype(int)) for row in WEIGHTS]
    expected = [metrics(*(array[rows] for array in examples)) for rows in repeated]
    for name, value, weighted in measures(case):
        found = weighted(WEIGHTS)
        assert found == pytest.approx([e[name] for e in expected], abs=1e-9), name
        # Control: without the weights it is another number.
        assert np.abs(found - value).max() > 1e-3, name


def one_versus_rest(labels, probabilities, **weights):
    areas = (
        sklearn_metrics.roc_auc_score(labels == i, probabilities[:, i], **weights) for i in range(3)
    )
    return np.mean([*areas])


@pytest.mark.parametrize(
    ("weighted", "reference", "examples"),
    [
        (weighted_of_numbers("r2", NUMBERS, PREDICTIONS), "r2_score", (NUMBERS, PREDICTIONS)),
        (
            weighted_of_numbers("mean_squared_error", NUMBERS, PREDICTIONS),
            "mean_squared_error",
            (NUMBERS, PREDICTIONS),
        ),
        (
            weighted_of_classes("log_loss", CLASSES, PROBABILITIES, NAMES),
            "log_loss",
            (CLASSES, PROBABILITIES),
        ),
        (
            weighted_of_classes("matthews_correlation", CLASSES, PROBABILITIES, NAMES),
            "matthews_corrcoef",
            (CLASSES, PROBABILITIES.argmax(axis=1)),
        ),
        (
            weighted_of_classes("roc_auc", CLASSES, PROBABILITIES, NAMES),
            one_versus_rest,
            (CLASSES, PROBABILITIES),
        ),
        (
            weighted_of_label_sets("average_precision_macro", APPLIES, SCORES, APPLIES, NAMES),
            "average_precision_score",
            (APPLIES, SCORES),
        ),
    ],
)
def test_scikit_learns_sample_weight_says_the_same_of_weights_that_are_no_counts(
    weighted, reference, examples
):
    weights = np.random.default_rng(0).exponential(size=(3, 80))
    if isinstance(reference, str):
        reference = getattr(sklearn_metrics, reference)
    expected = [reference(*examples, sample_weight=row) for row in weights]
    assert weighted(weights) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_examples_of_one_kind_are_alike(case):
    numbers_of_kinds = []
    for name, value, weighted in measures(case):
        if weighted.kinds is not None:
            of_kinds, counts = weighted.one_of_each_kind()
            numbers_of_kinds.append(len(counts))
            assert counts.sum() == 80
            found = of_kinds(counts[np.newaxis].astype(np.float64))
            assert found == pytest.approx([value], abs=1e-12), name
    assert min(numbers_of_kinds) < 50


@pytest.mark.parametrize("case", CASES)
def test_what_is_right_or_wrong_says_so(case):
    found = {name: w.is_right for name, _, w in measures(case) if w.is_right is not None}
    expected = {
        of_numbers: {},
        of_label_sets: {"subset_accuracy": ((SCORES > 0.4) == APPLIES).all(axis=1)},
        of_classes: {"accuracy": PROBABILITIES.argmax(axis=1) == CLASSES},
        of_two_classes: {"accuracy": TWO.argmax(axis=1) == APPLIES[:, 0]},
    }[case]
    assert {name: right.tolist() for name, right in found.items()} == {
        name: right.tolist() for name, right in expected.items()
    }


def test_what_is_undefined_on_a_resample_is_nan():
    for name in ("pearson", "spearman", "r2"):
        assert np.isnan(weighted_of_numbers(name, NUMBERS, PREDICTIONS)(ONE)).all()
    for case in (of_classes, of_two_classes):
        _, weighted, examples = case()
        assert np.isnan(weighted("roc_auc", *examples)(ONE)).all()


def test_equal_numbers_of_any_size_have_no_correlation():
    equal = np.full(80, 1e6 + 0.1)
    for name in ("pearson", "spearman"):
        assert np.isnan(weighted_of_numbers(name, NUMBERS, equal)(WEIGHTS)).all()
        far = weighted_of_numbers(name, NUMBERS * 1e-9, PREDICTIONS + 1e6)(WEIGHTS)
        assert far == pytest.approx(weighted_of_numbers(name, NUMBERS, PREDICTIONS)(WEIGHTS))


def test_a_class_that_was_not_drawn_is_not_in_the_mean():
    drawn = CLASSES != 2
    found = weighted_of_classes("roc_auc", CLASSES, PROBABILITIES, NAMES)(drawn[np.newaxis] * 1.0)
    labels, probabilities = CLASSES[drawn], PROBABILITIES[drawn]
    areas = [sklearn_metrics.roc_auc_score(labels == i, probabilities[:, i]) for i in (0, 1)]
    assert found == pytest.approx([np.mean(areas)])


def test_average_precision_of_a_label_that_was_not_drawn_is_zero():
    weights = (~APPLIES[:, 0])[np.newaxis] * 1.0
    names = ["only"]
    first = APPLIES[:, :1], SCORES[:, :1], APPLIES[:, :1]
    found = weighted_of_label_sets("average_precision_macro", *first, names)(weights)
    assert found.tolist() == [0.0]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "name", ["support/pos", "f1/none_such", "f1_weighted", "nonsense", "expected_calibration_error"]
)
def test_what_has_no_such_form(case, name):
    _, weighted, examples = case()
    assert weighted(name, *examples) is None


def test_certain_mistakes_have_a_finite_loss():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    metric = weighted_of_classes("log_loss", np.array([1, 0, 1]), probabilities, ("neg", "pos"))
    assert metric(np.ones((1, 3))) == pytest.approx([36.04 / 3], abs=0.01)


def test_what_can_be_done_once_is_done_once():
    calls = []

    def build(values):
        calls.append(len(values))
        return lambda weights: weights @ values

    metric = WeightedMetric(build, (np.arange(3.0),))
    assert [*metric(np.ones((1, 3))), *metric(np.eye(3))] == [3, 0, 1, 2]
    assert (calls, metric.num_examples) == ([3], 3)


def test_many_values_are_no_kinds():
    assert weighted_mean(np.arange(100) / 7).kinds is not None
    assert weighted_mean(np.arange(101) / 7).kinds is None


def test_control_ranks_are_made_anew_for_each_resample():
    """Ranks of all examples, kept for a resample, are another correlation."""
    rows = np.repeat(np.arange(80), WEIGHTS[0].astype(int))
    kept = stats.pearsonr(stats.rankdata(NUMBERS)[rows], stats.rankdata(PREDICTIONS)[rows])[0]
    found = weighted_of_numbers("spearman", NUMBERS, PREDICTIONS)(WEIGHTS[:1])
    assert abs(found[0] - kept) > 1e-6
