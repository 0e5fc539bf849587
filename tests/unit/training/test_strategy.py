"""Which devices are used, and which row of a batch goes to which."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.distribution.strategy import build_strategy, describe_strategy, distribute


@pytest.fixture
def gpus(monkeypatch):
    """Pretends logical GPUs: CPUs called so."""

    def pretend(count):
        cpus = tf.config.list_logical_devices("CPU")
        found = {"CPU": cpus, "GPU": cpus[:count]}
        monkeypatch.setattr(tf.config, "list_logical_devices", found.__getitem__)

    return pretend


@pytest.mark.parametrize(
    ("name", "num_gpus", "kind", "replicas"),
    [
        ("auto", 0, tf.distribute.OneDeviceStrategy, 1),
        ("auto", 1, tf.distribute.MirroredStrategy, 1),
        ("auto", 2, tf.distribute.MirroredStrategy, 2),
        ("one_device", 0, tf.distribute.OneDeviceStrategy, 1),
        ("one_device", 2, tf.distribute.OneDeviceStrategy, 1),
        ("mirrored", 0, tf.distribute.MirroredStrategy, 2),  # the two logical CPUs of the tests
        ("mirrored", 1, tf.distribute.MirroredStrategy, 1),
    ],
)
def test_build(gpus, name, num_gpus, kind, replicas):
    gpus(num_gpus)
    strategy = build_strategy(name)
    assert type(strategy) is kind
    assert strategy.num_replicas_in_sync == replicas


def test_describe():
    assert describe_strategy(build_strategy("one_device")) == "OneDeviceStrategy, 1 x CPU"
    assert describe_strategy(build_strategy("mirrored")) == "MirroredStrategy, 2 x CPU"


@pytest.mark.parametrize("length", [2, 3])
def test_sums_of_any_shape_in_one_process(length):
    """A second model trains, too: strategies of their own would clash in the all-reduce."""
    strategy = build_strategy("mirrored")

    def count():
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.ones(length))

    totals = tf.function(lambda: strategy.run(count))()
    assert [t.numpy().tolist() for t in totals.values] == [[2.0] * length] * 2


class TestDistribute:
    def dataset(self, *sizes):
        """Batches of rows numbered through, with a matrix, a vector and weights."""
        firsts = np.cumsum([0, *sizes])
        rows = [np.arange(first, first + size) for first, size in zip(firsts, sizes, strict=False)]
        batches = [({"token_ids": np.stack([r, 100 + r], axis=1)}, r) for r in rows]
        signature = (
            {"token_ids": tf.TensorSpec([None, None], tf.int64)},
            tf.TensorSpec([None], tf.int64),
        )
        return tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)

    def test_one_device_gets_the_batches_as_they_are(self):
        dataset = self.dataset(4)
        assert distribute(build_strategy("one_device"), dataset) is dataset

    def test_rows_are_dealt_in_turn(self):
        strategy = build_strategy("mirrored")
        parts = [
            [part.numpy().tolist() for part in strategy.experimental_local_results(labels)]
            for _, labels in distribute(strategy, self.dataset(6, 2))
        ]
        assert parts == [[[0, 2, 4], [1, 3, 5]], [[6], [7]]]

    def test_columns_stay_together_and_lengths_open(self):
        strategy = build_strategy("mirrored")
        iterator = iter(distribute(strategy, self.dataset(4)))
        first, second = strategy.experimental_local_results(next(iterator)[0]["token_ids"])
        assert first.numpy().tolist() == [[0, 100], [2, 102]]
        assert second.numpy().tolist() == [[1, 101], [3, 103]]
        assert first.dtype == tf.int64

    def test_refuses_a_batch_that_does_not_divide(self):
        strategy = build_strategy("mirrored")
        with pytest.raises(tf.errors.InvalidArgumentError):
            next(iter(distribute(strategy, self.dataset(3))))
