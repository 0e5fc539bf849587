"""The table that is updated row by row against the one that is updated whole."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.step.averaging import counted_weights
from kerasft.training.step.lazy_rows import sum_rows
from kerasft.training.step.optimizer import AdamW
from kerasft.training.step.schedule import WarmupDecay

ROWS, WIDTH, STEPS = 40, 6, 300


def build(*, lazy, path="table", **options):
    """Returns an optimizer and the table that it updates."""
    start = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype("float32")
    table = keras.Variable(start, name=path)
    rate = WarmupDecay(1e-2, warmup_steps=20, total_steps=2 * STEPS)
    options = {"weight_decay": 0.1, "no_weight_decay": ()} | options
    optimizer = AdamW(rate, lazy_table=table.path if lazy else None, **options)
    optimizer.build([table])
    return optimizer, table


def gradients():
    """Yields rows, which repeat, and a gradient for each; some rows come often, most seldom."""
    random = np.random.default_rng(1)
    for _ in range(STEPS):
        rows = np.minimum(random.zipf(1.4, 7) - 1, ROWS - 1).astype("int32")
        scale = 10.0 ** random.uniform(-9, 0, (7, 1))  # down to below epsilon
        values = (scale * random.normal(size=(7, WIDTH))).astype("float32")
        yield tf.IndexedSlices(values, rows, (ROWS, WIDTH))


def train(optimizer, table, *, catch_up=True):
    """Returns the rows as each step reads them, and the whole table in the end."""
    lazy = optimizer.lazy_rows
    read = []

    @tf.function(reduce_retracing=True)
    def step(rows, values):
        gradient = tf.IndexedSlices(values, rows, (ROWS, WIDTH))
        if lazy is None:
            before = tf.gather(table.value, rows)
            optimizer.apply([tf.convert_to_tensor(gradient)])
            return before
        if catch_up:
            lazy.catch_up(tf.unique(rows)[0])
        before = tf.gather(table.value, rows)
        optimizer.apply([sum_rows(gradient)])
        return before

    for gradient in gradients():
        read.append(step(gradient.indices, gradient.values).numpy())
    if lazy is not None and catch_up:
        lazy.catch_up_all()
    return np.array(read), table.numpy()


OPTIONS = [
    {},
    {"weight_decay": 0.0},
    {"beta_2": 0.99, "epsilon": 1e-6},
    {"rate_scales": {"table": 0.3}, "first_steps": {"table": -5}},
]


class TestLazyRows:
    @pytest.mark.parametrize("options", OPTIONS, ids=["usual", "no decay", "betas", "rules"])
    def test_equals_the_whole_update(self, options):
        # With a beta_2 of 0.99 the second moment falls while the first one carries on.
        tolerance = 1e-4 if "beta_2" in options else 2e-5
        read, table = train(*build(lazy=True, **options))
        expected_read, expected = train(*build(lazy=False, **options))
        moved = np.abs(expected - build(lazy=False)[1].numpy()).max()
        assert moved > 0.1
        np.testing.assert_allclose(read, expected_read, atol=tolerance * moved, rtol=0)
        np.testing.assert_allclose(table, expected, atol=tolerance * moved, rtol=0)

    def test_moments_too(self):
        lazy, whole = build(lazy=True), build(lazy=False)
        train(*lazy)
        train(*whole)
        for name in ("momentum", "velocity"):
            received, expected = (
                next(v for v in optimizer.variables if name in v.path).numpy()
                for optimizer, _ in (lazy, whole)
            )
            np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-12)

    def test_control_rows_that_are_left_alone_differ(self):
        """What is often called lazy Adam: no decay and no momentum without a gradient."""
        _, table = train(*build(lazy=True), catch_up=False)
        _, expected = train(*build(lazy=False))
        assert np.abs(table - expected).max() > 1e-2

    def test_catching_up_twice_is_catching_up_once(self):
        optimizer, table = build(lazy=True)
        _, before = train(optimizer, table)
        optimizer.lazy_rows.catch_up_all()
        np.testing.assert_array_equal(table.numpy(), before)


class TestSumRows:
    def test_each_row_comes_once_with_its_sum(self):
        gradient = next(gradients())
        summed = sum_rows(gradient)
        assert len(set(summed.indices.numpy())) == len(summed.indices)
        np.testing.assert_allclose(
            tf.convert_to_tensor(summed), tf.convert_to_tensor(gradient), rtol=1e-6
        )


class TestFineTuner:
    def weights(self, tools, lazy_table):
        model = tools.build_tuner(AdamW(1e-2, lazy_table=lazy_table), global_clipnorm=0.5)
        step = tf.function(model.train_step, reduce_retracing=True)
        norms = []
        for seed in range(12):
            logs = step(tools.as_tensors(tools.make_batch(2, seed=seed)))
            norms.append(float(logs["gradient_norm"]))
        table = model.encoder.backbone.token_embedding.embeddings
        raw = table.numpy()
        with counted_weights(model):
            weights = {weight.path: weight.numpy() for weight in model.weights}
        np.testing.assert_array_equal(table.numpy(), raw)  # as if nobody had looked
        return norms, raw, weights

    def test_trains_as_with_the_whole_update(self, tools):
        norms, raw, weights = self.weights(tools, "token_embedding/embeddings")
        expected_norms, _, expected = self.weights(tools, None)
        np.testing.assert_allclose(norms, expected_norms, rtol=1e-4)
        for path, weight in weights.items():
            np.testing.assert_allclose(weight, expected[path], atol=1e-5, err_msg=path)
        # Control: before they are brought up to date, rows that were not read differ.
        assert np.abs(raw - expected["token_embedding/embeddings"]).max() > 1e-3

    def test_a_gradient_of_another_table_must_be_dense(self):
        optimizer, table = build(lazy=False)
        with pytest.raises(TypeError, match="Expected a dense gradient"):
            optimizer.apply([next(gradients())], [table])
