"""How much a class counts: scikit-learn's balance, and weights given by name."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from kerasft.data.plan.weights import class_weights
from kerasft.errors import UserError

LABELS = np.array([0] * 6 + [1] * 3 + [2])


def test_balanced_is_scikit_learns():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=LABELS)
    weights = class_weights("balanced", LABELS, ("a", "b", "c"))
    assert weights == pytest.approx(expected)
    assert weights != pytest.approx(np.ones(3))  # control


def test_a_class_without_training_examples_breaks_nothing():
    assert np.isfinite(class_weights("balanced", LABELS, ("a", "b", "c", "d"))).all()


def test_weights_by_name():
    names = ("neg", "pos", "New York, NY")
    weights = class_weights({"pos": 2.5, "New York, NY": 3.0}, LABELS, names)
    assert weights.tolist() == [1, 2.5, 3]


def test_a_name_that_is_no_class_is_told():
    with pytest.raises(UserError, match=r'names no class\. Did you mean "pos".*\'poss\'.*neg, pos'):
        class_weights({"poss": 2}, LABELS, ("neg", "pos"))
