"""Which evaluation is the best: by the monitored metric, then the loss, then the step."""

from __future__ import annotations

import math

import pytest

from kerasft.training.loop.ranking import Ranking, is_better, monitored


@pytest.mark.parametrize(
    ("value", "best", "monitor", "better"),
    [
        (0.1, None, "validation/accuracy", True),
        (0.6, 0.5, "validation/accuracy", True),
        (0.5, 0.5, "validation/accuracy", False),
        (0.6, 0.5, "validation/log_loss", False),
        (0.4, 0.5, "validation/log_loss", True),
        (0.4, 0.5, "validation/expected_calibration_error", True),
        (math.nan, 0.5, "validation/roc_auc", False),
        (math.nan, None, "validation/roc_auc", False),
        (math.nan, math.nan, "validation/roc_auc", False),
        (0.5, math.nan, "validation/roc_auc", True),
    ],
)
def test_is_better(value, best, monitor, better):
    assert is_better(value, best, monitor) is better


def test_monitored():
    assert monitored({"f1/pos": 0.5}, "validation/f1/pos") == 0.5


@pytest.mark.parametrize(
    ("monitor", "worst_first"),
    [
        ("validation/accuracy", [5, 4, 1, 3, 2]),
        ("validation/log_loss", [5, 2, 4, 1, 3]),
    ],
)
def test_order(monitor, worst_first):
    evaluations = [
        {"step": 1, "accuracy": 0.8, "log_loss": 0.4},
        {"step": 2, "accuracy": 0.9, "log_loss": 0.7},
        {"step": 3, "accuracy": 0.8, "log_loss": 0.3},
        {"step": 4, "accuracy": None, "log_loss": 0.5},  # NaN, as JSON keeps it
        {"step": 5, "accuracy": math.nan, "log_loss": math.nan},
    ]
    ranked = sorted(evaluations, key=Ranking(monitor).key)
    assert [evaluation["step"] for evaluation in ranked] == worst_first
