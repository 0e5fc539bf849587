"""The loop: what a step tells, where it stops, and logits in order."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.training.distribution.strategy import build_strategy
from kerasft.training.loop.loop import build_distributed, train_steps
from kerasft.training.step.optimizer import AdamW
from kerasft.training.step.schedule import WarmupDecay


class TestTrainSteps:
    @pytest.fixture(scope="class")
    @classmethod
    def results(cls, tools):
        """Three steps, counted from the fifth on; the third has a weight that is no number."""
        model = tools.build_tuner(AdamW(WarmupDecay(1.0, warmup_steps=4, total_steps=9)))
        model.optimizer.iterations.assign(4)
        batches = [tools.make_batch(4, seed=seed, length=8 * (seed + 1)) for seed in range(3)]
        batches[2][2][0] = np.nan
        results, strategy = [], build_strategy("one_device")
        steps = train_steps(model, strategy, tools.make_dataset(batches), start_step=4)
        with pytest.raises(UserError) as caught:
            results.extend(next(steps) for _ in batches)
        return results, str(caught.value)

    def test_counts_on_from_the_start_step(self, results):
        assert [result.step for result in results[0]] == [5, 6]

    def test_tells_the_rate_of_this_update(self, results):
        assert [r.learning_rate for r in results[0]] == pytest.approx([1.0, 0.8])

    def test_running_metrics_are_means(self, results):
        first, second = results[0]
        assert first.running["loss"] == pytest.approx(first.loss)
        assert second.running["loss"] == pytest.approx((first.loss + second.loss) / 2)
        assert set(second.running) == {"loss", "accuracy"}

    def test_seconds_are_measured(self, results):
        assert all(result.seconds > 0 for result in results[0])

    def test_a_loss_that_is_no_number_stops_it_and_names_the_step(self, results):
        message = results[1]
        assert "broke down at step 7" in message
        assert "Received: 'loss nan" in message
        assert "learning rate 0.6" in message
        assert "lower training.learning_rate" in message


def test_ends_with_the_batches(tools):
    model = tools.build_tuner()
    steps = train_steps(model, build_strategy("one_device"), tools.make_dataset([]), start_step=3)
    assert list(steps) == []


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_one_trace_serves_all_lengths(tools, strategy):
    strategy = build_strategy(strategy)
    traces = []

    def step(batch):
        traces.append(1)
        return {"rows": tf.shape(batch[1])[0]}

    lengths = (8, 16, 24)
    dataset = tools.make_dataset([tools.make_batch(4, length=length) for length in lengths])
    iterator = iter(strategy.experimental_distribute_dataset(dataset))
    run = build_distributed(step, strategy, iterator.element_spec, jit_compile=False)
    rows = [int(run(batch)["rows"]) for batch in iterator]
    replicas = strategy.num_replicas_in_sync
    assert rows == [4 // replicas] * 3
    assert len(traces) == replicas
