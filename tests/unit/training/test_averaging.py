"""Averages of weights: over time, and of evaluated steps."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasft.training.checkpoints.checkpoint import DamagedCheckpointError, checkpoints_in
from kerasft.training.loop.ranking import Ranking
from kerasft.training.step.averaging import Soup, candidate_steps, counted_weights
from kerasft.training.step.optimizer import AdamW

RANKING = Ranking("validation/accuracy")
EVALUATIONS = [
    {"step": 2, "accuracy": 0.7, "log_loss": 0.4},
    {"step": 4, "accuracy": 0.9, "log_loss": 0.5},
    {"step": 6, "accuracy": 0.8, "log_loss": 0.3},
    {"step": 8, "accuracy": 0.9, "log_loss": 0.6},
    {"step": 10, "accuracy": float("nan"), "log_loss": 0.7},
]


@pytest.mark.parametrize(
    ("monitor", "count", "choose", "expected"),
    [
        ("validation/accuracy", 2, "best", [4, 8]),
        ("validation/accuracy", 1, "best", [4]),  # of equal ones that of the lower loss
        ("validation/accuracy", 4, "best", [2, 4, 6, 8]),
        ("validation/log_loss", 2, "best", [2, 6]),
        ("validation/accuracy", 2, "last", [8, 10]),
        ("validation/accuracy", 9, "last", [2, 4, 6, 8, 10]),
    ],
)
def test_candidates(monitor, count, choose, expected):
    ranking = Ranking(monitor)
    assert candidate_steps(EVALUATIONS, ranking, count=count, choose=choose) == expected


class TestSoup:
    @pytest.fixture
    def weight(self):
        return keras.Variable([0.0, 0.0], name="kernel")

    @pytest.fixture
    def soup(self, tmp_path, weight):
        """A soup of the two best steps, whose weights are the steps."""
        soup = Soup(tmp_path, ranking=RANKING, count=2, choose="best")
        for number, evaluation in enumerate(EVALUATIONS[:4], start=1):
            weight.assign([float(evaluation["step"]), -1.0])
            soup.keep([weight], EVALUATIONS[:number])
        return soup

    def test_only_what_counts_is_kept(self, soup):
        assert [path.name for path in checkpoints_in(soup.folder)] == [
            "step-00000004",
            "step-00000008",
        ]

    def test_the_average_is_there_while_it_is_entered_and_only_then(self, soup, weight):
        weight.assign([5.0, 5.0])
        with soup.average_of([weight], EVALUATIONS[:4]) as steps:
            assert steps == [4, 8]
            np.testing.assert_allclose(weight.numpy(), [6.0, -1.0])
        np.testing.assert_allclose(weight.numpy(), [5.0, 5.0])

    def test_an_error_on_the_way_puts_the_weights_back(self, soup, weight):
        with pytest.raises(KeyboardInterrupt), soup.average_of([weight], EVALUATIONS[:4]):
            raise KeyboardInterrupt
        np.testing.assert_allclose(weight.numpy(), [8.0, -1.0])

    def test_what_was_kept_and_cannot_be_read_is_told(self, soup, weight):
        next(soup.folder.glob("*4/variables.safetensors")).write_bytes(b"damage")
        with (
            pytest.raises(DamagedCheckpointError, match="cannot be read"),
            soup.average_of([weight], EVALUATIONS[:4]),
        ):
            pass

    def test_clear_removes_it(self, soup):
        soup.clear()
        assert not soup.folder.exists()

    def test_control_a_soup_of_one_keeps_nothing(self, tmp_path, weight):
        soup = Soup(tmp_path / "none", ranking=RANKING, count=1, choose="best")
        soup.keep([weight], EVALUATIONS[:1])
        assert not soup.folder.exists()


class TestMovingAverage:
    def test_stands_in_for_the_weights_while_it_is_entered(self, tools):
        model = tools.build_tuner(AdamW(0.1, ema_decay=0.5))
        batch = tools.as_tensors(tools.make_batch(6))
        seen = []
        for _ in range(2):
            model.train_step(batch)
            seen.append([weight.numpy() for weight in model.trainable_variables])
        with counted_weights(model):
            averages = [weight.numpy() for weight in model.trainable_variables]
        for average, first, second in zip(averages, *seen, strict=True):
            np.testing.assert_allclose(average, (first + second) / 2, atol=1e-6)
        for weight, second in zip(model.trainable_variables, seen[1], strict=True):
            np.testing.assert_array_equal(weight.numpy(), second)

    def test_control_without_it_the_weights_stay(self, tools):
        model = tools.build_tuner(AdamW(0.1))
        model.train_step(tools.as_tensors(tools.make_batch(6)))
        before = [weight.numpy() for weight in model.trainable_variables]
        with counted_weights(model):
            for weight, value in zip(model.trainable_variables, before, strict=True):
                np.testing.assert_array_equal(weight.numpy(), value)
