"""Batches of pooled vectors: the plan's examples, in its order, from any step on."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.data.batches.feature_batches import build_feature_dataset
from kerasft.data.plan.batch_plan import BatchPlan

FEATURES = np.arange(14, dtype=np.float32).reshape(7, 2)
LABELS = np.arange(7, dtype=np.int32)


@pytest.fixture
def plan():
    return BatchPlan(np.full(7, 5), batch_size=3, seed=1)


def batches(plan, **options):
    dataset = build_feature_dataset(FEATURES, LABELS, plan, **{"num_steps": 6, **options})
    return [(i["features"].numpy(), y.numpy(), w.numpy()) for i, y, w in dataset]


@pytest.mark.parametrize("weights", [None, np.linspace(1, 2, 7, dtype=np.float32)])
def test_they_are_those_of_the_plan(plan, weights):
    for step, (features, labels, of_rows) in enumerate(batches(plan, weights=weights)):
        rows = plan.batch(step)
        np.testing.assert_array_equal(features, FEATURES[rows])
        np.testing.assert_array_equal(labels, rows)
        np.testing.assert_array_equal(of_rows, 1.0 if weights is None else weights[rows])


def test_they_go_on_from_any_step(plan):
    later = batches(plan, start_step=2, num_steps=4)
    for ours, theirs in zip(later, batches(plan)[2:], strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def test_rows_that_fill_a_batch_have_no_weight(plan):
    features, labels, weights = batches(plan, pad_batch_to=2)[2]  # the epoch's one example left
    assert features.shape == (2, 2)
    assert labels.shape == (2,)
    np.testing.assert_array_equal(weights, [1.0, 0.0])


def test_labels_may_have_several_columns(plan):
    labels = np.eye(7, dtype=np.float32)
    dataset = build_feature_dataset(FEATURES, labels, plan, num_steps=1)
    ((_, batch, _),) = list(dataset)
    np.testing.assert_array_equal(batch, labels[plan.batch(0)])
