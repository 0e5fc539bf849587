"""The kernels, against SciPy and against the operations of TensorFlow that they stand for."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from kerasft.models import encoder_layer
from kerasft.models.fast.attention import attend
from kerasft.models.fast.fast_ops import gelu
from kerasft.models.fast.kernels import computing_with, kernels_in_use
from kerasft.training.step.optimizer import AdamW
from tests.conftest import op_names

VALUES = np.concatenate([np.linspace(-6, 6, 241), [-40, 40]]).astype("float32")
DTYPES = ["float32", "bfloat16"]


def outputs_and_gradients(function, *inputs, kernels=None):
    """The outputs, and the gradients of the inputs under slopes that differ."""

    @tf.function(autograph=False)
    def compute(*inputs):
        with computing_with(kernels), tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(*inputs)
            slopes = tf.sin(tf.cast(tf.range(tf.size(outputs)), tf.float32))
            slopes = tf.cast(tf.reshape(slopes, tf.shape(outputs)), outputs.dtype)
            gradients = tape.gradient(outputs, inputs, output_gradients=slopes)
        return [outputs, *gradients]

    found = compute(*map(tf.constant, inputs))
    traced = compute.get_concrete_function(*map(tf.constant, inputs))
    by_kernels = any("Kerasft" in name for name in op_names(traced))
    assert by_kernels == (kernels is not None)
    return [tf.cast(tensor, tf.float32).numpy() for tensor in found]


def largest_difference(ours, theirs):
    """Of outputs and gradients, relative to the largest number of each."""
    return max(
        np.abs(a - b).max(initial=0) / np.abs(b).max(initial=1)
        for a, b in zip(ours, theirs, strict=True)
    )


def check(run, kernels, dtype, **control):
    """Compares what a function returns with kernels and without.

    In float32 both are one number up to rounding; in bfloat16 kernels are as close to what float32
    gives as TensorFlow's operations are.

    Args:
        run: From kernels, dtype and more to outputs and gradients; its inputs fit bfloat16.
        kernels: The kernels.
        dtype: Its name.
        control: Arguments of `run` under which the numbers must differ.
    """
    ours, plain, exact = run(kernels, dtype), run(None, dtype), run(None, "float32")
    assert not any(np.isnan(array).any() for array in ours)
    assert [array.shape for array in ours] == [array.shape for array in plain]
    allowed = max(1e-5, 1.1 * largest_difference(plain, exact))
    assert largest_difference(ours, exact) <= allowed
    assert not control or largest_difference(run(kernels, dtype, **control), exact) > 3 * allowed


class TestGelu:
    def test_is_x_times_the_normal_distribution(self, kernels):
        expected = VALUES * scipy.special.ndtr(VALUES.astype("float64"))
        received = kernels.kerasft_gelu(VALUES)
        np.testing.assert_allclose(received, expected, atol=1e-6, rtol=5e-7)
        tanh = tf.nn.gelu(VALUES, approximate=True)  # control
        assert np.abs(tanh - expected).max() > 1e-4

    def test_gradient_is_the_derivative(self, kernels):
        x = VALUES.astype("float64")
        expected = scipy.special.ndtr(x) + x * np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
        received = kernels.kerasft_gelu_grad(VALUES, np.full_like(VALUES, 3))
        np.testing.assert_allclose(received, 3 * expected, atol=2e-6)
        _, plain = outputs_and_gradients(gelu, VALUES)
        _, ours = outputs_and_gradients(gelu, VALUES, kernels=kernels)
        np.testing.assert_allclose(ours, plain, atol=2e-6)

    def test_bfloat16_is_float32_rounded_once(self, kernels):
        halves = tf.cast(VALUES, tf.bfloat16)
        received = kernels.kerasft_gelu(halves)
        expected = tf.cast(kernels.kerasft_gelu(tf.cast(halves, tf.float32)), tf.bfloat16)
        np.testing.assert_array_equal(received, expected)

    @pytest.mark.parametrize("count", [0, 1, 15, 17, 100_003])  # none, beside lanes, many blocks
    def test_every_element_is_computed(self, kernels, count):
        x = np.random.default_rng(0).normal(size=count).astype("float32")
        np.testing.assert_allclose(kernels.kerasft_gelu(x), gelu(x), atol=1e-6)
        ones = np.ones_like(x)
        slopes = kernels.kerasft_gelu_grad(x, ones)
        np.testing.assert_allclose(slopes, kernels.kerasft_gelu_grad(x[::-1], ones)[::-1])

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
    def test_what_is_not_a_number_stays_so(self, kernels, dtype):
        x = tf.constant([1.0, np.nan, -2.0], dtype)
        for found in (kernels.kerasft_gelu(x), kernels.kerasft_gelu_grad(x, x)):
            assert list(np.isnan(tf.cast(found, tf.float32))) == [False, True, False]


class TestAddNorm:
    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(
        ("shape", "rate"),
        [((3, 5, 24), 0.0), ((3, 5, 24), 0.5), ((1, 1, 1), 0.1), ((700, 96), 0.1), ((0, 8), 0.1)],
    )
    def test_is_dropout_a_sum_and_a_normalization(self, kernels, shape, dtype, rate):
        generator = np.random.default_rng(1)
        values = [tf.constant(generator.normal(size=shape), tf.bfloat16) for _ in range(2)]
        gamma, beta = generator.normal(1, 0.5, (2, shape[-1])).astype("float32")

        def run(kernels, dtype, seed=3):
            dropout = SimpleNamespace(rate=rate, seed_generator=keras.random.SeedGenerator(seed))

            def compute(inputs, residual, gamma, beta):
                norm = SimpleNamespace(gamma=gamma, beta=beta, epsilon=1e-5)
                return encoder_layer._add_norm(dropout, norm, inputs, residual, True)

            inputs = [tf.cast(value, dtype) for value in values]
            return outputs_and_gradients(compute, *inputs, gamma, beta, kernels=kernels)

        check(run, kernels, dtype, **({"seed": 4} if rate and np.prod(shape) > 1 else {}))

    def test_a_width_that_does_not_fit_is_refused(self, kernels):
        two, three = np.ones((2, 3), "float32"), np.ones(3, "float32")
        nothing, five = np.zeros(0, "uint8"), np.zeros(5, "uint8")
        rest = {"bound": 0, "epsilon": 1e-5}
        with pytest.raises(tf.errors.InvalidArgumentError, match="width of the inputs"):
            kernels.kerasft_add_norm(two, nothing, two, three, three[:2], **rest)
        with pytest.raises(tf.errors.InvalidArgumentError, match="rows, width"):
            kernels.kerasft_add_norm_grad(two, nothing, two, three, three, bound=0)
        with pytest.raises(tf.errors.InvalidArgumentError, match="a byte for each"):
            kernels.kerasft_add_norm(two, five, two, three, three, bound=1, epsilon=1e-5)


class TestAttention:
    padding = tf.sequence_mask([13, 6, 1], 13)[:, tf.newaxis, :]
    by_query = np.tril(np.ones((3, 13, 13), bool)) & padding
    shape = (3, 2, 13, 4)

    def run(self, kernels, dtype, *, mask=padding, rate=0.0, chunk=0, seed=7):
        generator = np.random.default_rng(0)
        values = (tf.constant(generator.normal(size=self.shape), tf.bfloat16) for _ in range(3))
        inputs = [tf.cast(value, dtype) for value in values]

        def compute(*inputs):
            return attend(*inputs, mask, dropout=rate, seed=tf.constant([seed, 11]), chunk=chunk)

        return outputs_and_gradients(compute, *inputs, kernels=kernels)

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize(
        ("mask", "rate", "chunk"),
        [(padding, 0.0, 0), (padding, 0.1, 0), (by_query, 0.5, 0), (by_query, 0.1, 5)],
        ids=["plain", "dropout", "by query", "in chunks"],
    )
    def test_is_a_masked_softmax(self, kernels, mask, dtype, rate, chunk):
        other = self.by_query if mask is self.padding else self.padding
        for control in [{"mask": other}, *([{"seed": 8}] if rate else [])]:

            def run(kernels, dtype, **changed):
                settings = {"mask": mask, "rate": rate, "chunk": chunk} | changed
                return self.run(kernels, dtype, **settings)

            check(run, kernels, dtype, **control)

    def test_softmax_is_scipy_s(self, kernels):
        scores = np.random.default_rng(3).normal(0, 20, (2, 3, 5, 301)).astype("float32")
        mask = np.ones((2, 1, 301), bool)
        weights, _ = kernels.kerasft_weigh(scores, np.zeros(0, "uint8"), mask, bound=0)
        expected = scipy.special.softmax(scores.astype("float64"), axis=-1)
        np.testing.assert_allclose(weights, expected, rtol=2e-5, atol=1e-30)

    def test_a_row_that_may_look_nowhere_is_finite(self, kernels):
        mask = np.zeros((3, 1, 13), bool)
        ours, plain = (self.run(used, "float32", mask=mask) for used in (kernels, None))
        assert largest_difference(ours, plain) < 1e-4  # all scores less 30,000: fewer digits

    def test_a_mask_that_does_not_fit_is_refused(self, kernels):
        scores = np.ones((2, 1, 3, 4), "float32")
        with pytest.raises(tf.errors.InvalidArgumentError, match="queries or 1"):
            kernels.kerasft_weigh(scores, np.zeros(0, "uint8"), np.ones((2, 2, 4), bool), bound=0)


class TestAdam:
    @staticmethod
    def run(kernels, steps=5, **options):
        generator = np.random.default_rng(2)
        variables = [
            keras.Variable(generator.normal(size=shape).astype("float32"), name=name)
            for name, shape in (("kernel", (70, 1000)), ("bias", (3,)), ("scalar", ()))
        ]
        optimizer = AdamW(0.01, weight_decay=0.5, **options)
        optimizer.kernels = kernels
        optimizer.build(variables)

        @tf.function
        def step(gradients):
            optimizer.apply(gradients, variables)

        for _ in range(steps):
            step([tf.constant(generator.normal(size=v.shape), tf.float32) for v in variables])
        traced = step.get_concrete_function([v.value for v in variables])
        used = op_names(traced) & {"KerasftAdam", "ResourceApplyAdam"}
        assert used == {"ResourceApplyAdam" if kernels is None else "KerasftAdam"}
        return [weight.numpy() for weight in optimizer.variables if weight.dtype == "float32"] + [
            variable.numpy() for variable in variables
        ]

    @pytest.mark.parametrize(
        "options", [{}, {"ema_decay": 0.9}, {"rate_scales": {"bias": 0.1}, "epsilon": 0.1}]
    )
    def test_is_adam_with_decay(self, kernels, options):
        ours, plain = self.run(kernels, **options), self.run(None, **options)
        for mine, theirs in zip(ours, plain, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-6)
        other = self.run(kernels, beta_1=0.8, **options)  # control
        assert np.abs(other[-3] - plain[-3]).max() > 1e-3

    def test_who_holds_the_weights_does_not_see_the_update(self, kernels):
        variables = [tf.Variable(tf.ones((4, 5))) for _ in range(3)]
        held = variables[0].read_value()
        scalars = [0.1, 0.0, 0.9, 0.999, 1e-8]
        handles = [variable.handle for variable in variables]
        kernels.kerasft_adam(*handles, tf.ones((4, 5)), scalars)
        np.testing.assert_array_equal(held, np.ones((4, 5)))
        assert variables[0].numpy().max() < 0.95
        with pytest.raises(tf.errors.InvalidArgumentError, match="shape of the variables"):
            kernels.kerasft_adam(*handles, tf.ones((4, 4)), scalars)


def test_numbers_do_not_depend_on_the_number_of_threads(kernels, tmp_path):
    generator = np.random.default_rng(1)
    rows, width = 5000, 24
    arrays = [generator.normal(size=(rows, width)).astype("float32") for _ in range(2)]
    upstream, normalized = arrays
    inverse = generator.uniform(1, 2, rows).astype("float32")
    gamma = generator.normal(size=width).astype("float32")
    drawn = generator.integers(0, 256, rows * width).astype("uint8")
    inputs = {
        "upstream": upstream,
        "drawn": drawn,
        "normalized": normalized,
        "inverse": inverse,
        "gamma": gamma,
    }
    np.savez(tmp_path / "inputs.npz", **inputs)
    script = """
        import numpy as np
        import kerasft, tensorflow as tf
        from kerasft.models.fast.kernels.building import load_kernels
        tf.config.threading.set_intra_op_parallelism_threads(1)
        inputs = np.load("inputs.npz")
        found = load_kernels().kerasft_add_norm_grad(**inputs, bound=26)
        np.savez("outputs.npz", *found)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=tmp_path, check=True)
    here = kernels.kerasft_add_norm_grad(**inputs, bound=26)
    with np.load(tmp_path / "outputs.npz") as there:
        for mine, other in zip(here, there.values(), strict=True):
            np.testing.assert_array_equal(mine, other)


def test_they_are_used_inside_the_block_alone(kernels):
    assert kernels_in_use() is None
    with computing_with(kernels):
        assert kernels_in_use() is kernels
        with computing_with(None):
            assert kernels_in_use() is None
    assert kernels_in_use() is None
