"""Rows of several windows: encoded apart, logits averaged, in training and evaluation alike."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.evaluation.forward import build_forward
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.loop.loop import train_steps

LENGTH = 8
TOLERANCE = 1e-6
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz"]


def text_of(num_tokens, seed=0):
    letters = np.random.default_rng(seed).choice(list("abcdefghijklmnopqrstuvwxyz"), num_tokens)
    return " ".join(letters)


THREE_WINDOWS = text_of(14)  # 6 tokens, 4 further on 6 more, and again
TEXTS = [text_of(n, seed=n) for n in (1, 0, 6, 7, 14, 40, 3)]


@pytest.fixture(scope="module")
def preprocess():
    return WordPiecePreprocessor(VOCABULARY, sequence_length=LENGTH, truncation="windows")


@pytest.fixture(scope="module")
def head():
    return WordPiecePreprocessor(VOCABULARY, sequence_length=LENGTH, truncation="head")


@pytest.fixture(scope="module")
def windowed(tools):
    return tools.build_tuner(window_length=LENGTH)


@pytest.fixture(scope="module")
def whole(tools):
    return tools.build_tuner()


def rows_of(token_ids):
    """Token rows as model inputs."""
    rows = tf.ragged.constant(token_ids, tf.int32)
    mask = tf.ones_like(rows).to_tensor()
    return {"token_ids": rows.to_tensor(), "segment_ids": 0 * mask, "padding_mask": mask}


def largest(difference):
    return np.abs(np.asarray(difference)).max()


class TestLogits:
    def test_are_the_mean_of_the_windows_scored_alone(self, preprocess, windowed, whole):
        row = preprocess.tokenize([THREE_WINDOWS])[0].to_list()[0]
        windows = [row[start : start + LENGTH] for start in range(0, len(row), LENGTH)]
        assert [len(window) for window in windows] == [8, 8, 8]
        assert all(window[0] == 2 and window[-1] == 3 for window in windows)
        alone = np.stack([whole(rows_of([window]))[0] for window in windows])
        assert np.ptp(alone, axis=0).min() > 100 * TOLERANCE  # the windows say different things
        received = windowed(preprocess([THREE_WINDOWS]))[0]
        assert largest(received - alone.mean(axis=0)) < TOLERANCE

    def test_control_the_row_read_as_a_whole_says_otherwise(self, preprocess, windowed, whole):
        inputs = preprocess([THREE_WINDOWS])
        assert largest(windowed(inputs) - whole(inputs)) > 100 * TOLERANCE

    @pytest.mark.parametrize("num_tokens", [0, 1, 5, 6])
    def test_of_a_short_text_are_those_of_head(self, preprocess, head, windowed, whole, num_tokens):
        texts = [text_of(num_tokens)]
        expected = whole(head(texts))
        assert np.array_equal(windowed(preprocess(texts)), expected)
        among = windowed(preprocess([*texts, *TEXTS]))[:1]
        assert largest(among - expected) < TOLERANCE

    def test_control_a_long_text_is_not_its_head(self, preprocess, head, windowed, whole):
        difference = windowed(preprocess([THREE_WINDOWS])) - whole(head([THREE_WINDOWS]))
        assert largest(difference) > 100 * TOLERANCE

    def test_of_a_mixed_batch_are_those_of_each_text_alone(self, preprocess, windowed):
        forward = build_forward(windowed)
        alone = np.concatenate([forward(preprocess([text])) for text in TEXTS])
        assert largest(forward(preprocess(TEXTS)) - alone) < TOLERANCE
        assert np.ptp(alone, axis=0).min() > 100 * TOLERANCE

    @pytest.mark.parametrize("more", [0, 1, 7, 8, 13])
    def test_the_batch_may_be_of_any_width(self, preprocess, windowed, more):
        inputs = preprocess(TEXTS)
        wider = {name: tf.pad(rows, [[0, 0], [0, more]]) for name, rows in inputs.items()}
        assert largest(windowed(wider) - windowed(inputs)) < TOLERANCE

    def test_of_no_text(self, preprocess, windowed):
        nothing = preprocess(tf.constant([], tf.string))
        assert build_forward(windowed)(nothing).shape == (0, 2)

    def test_dropout_in_training_only(self, tools, preprocess):
        model, inputs = tools.build_tuner(dropout=0.5, window_length=LENGTH), preprocess(TEXTS)
        assert np.array_equal(model(inputs), model(inputs))
        assert largest(model(inputs, training=True) - model(inputs)) > 0.01


def batch_of(preprocess, texts, filler=0):
    """A batch as the data pipeline makes it; filler rows have one token and weight 0."""
    inputs = {name: rows.numpy() for name, rows in preprocess(texts).items()}
    width = -(-inputs["token_ids"].shape[1] // 8) * 8 + 4  # not a multiple of the window
    padded = {}
    for name, rows in inputs.items():
        padded[name] = np.zeros((len(texts) + filler, width), "int32")
        padded[name][: len(texts), : rows.shape[1]] = rows
    padded["token_ids"][len(texts) :, 0], padded["padding_mask"][len(texts) :, 0] = 2, 1
    labels = np.arange(len(texts) + filler, dtype="int32") % 2
    return padded, labels, np.repeat([1, 0], [len(texts), filler]).astype("float32")


def train(tools, strategy, batches):
    with strategy.scope():
        model = tools.build_tuner(global_clipnorm=0.05, window_length=LENGTH)
    steps = list(train_steps(model, strategy, tools.make_dataset(batches), start_step=0))
    return steps, [variable.numpy() for variable in model.trainable_variables]


class TestTraining:
    def test_two_devices_agree_with_one(self, tools, preprocess):
        texts = [TEXTS[:4], TEXTS[::-1][:6], TEXTS[2:]]
        ones = [batch_of(preprocess, rows) for rows in texts]
        twos = [batch_of(preprocess, rows, filler=len(rows) % 2) for rows in texts]
        steps_one, one = train(tools, tf.distribute.OneDeviceStrategy("CPU:0"), ones)
        steps_two, two = train(tools, tools.mirrored(), twos)
        for number in ("loss", "gradient_norm"):
            numbers = [[getattr(s, number) for s in steps] for steps in (steps_one, steps_two)]
            np.testing.assert_allclose(*numbers, rtol=1e-5)
        assert min(step.gradient_norm for step in steps_one) > 0.05
        assert max(largest(a - b) for a, b in zip(one, two, strict=True)) < TOLERANCE

    def test_the_gradient_flows_through_every_window(self, tools, preprocess):
        """It is that of the mean of the logits, windows encoded one by one."""
        model = tools.build_tuner(window_length=LENGTH)
        row = preprocess.tokenize([THREE_WINDOWS])[0].to_list()[0]
        variables = [variable.value for variable in model.trainable_variables]

        def gradients(logits_of):
            with tf.GradientTape() as tape:
                logits = logits_of()
                loss = keras.ops.sparse_categorical_crossentropy([1], logits, from_logits=True)
            return [tf.convert_to_tensor(g) for g in tape.gradient(loss, variables)]

        def by_hand():
            windows = [row[start : start + LENGTH] for start in range(0, len(row), LENGTH)]
            return sum(model(rows_of([window])) for window in windows) / 3

        received = gradients(lambda: model(preprocess([THREE_WINDOWS])))
        expected = gradients(by_hand)
        assert max(largest(a - b) for a, b in zip(received, expected, strict=True)) < 1e-6
        assert all(largest(gradient) > 1e-6 for gradient in expected if gradient.shape[0] != 2)

    def test_filler_rows_change_nothing(self, tools, preprocess):
        results = []
        for filler in (0, 3):
            model = tools.build_tuner(window_length=LENGTH)
            model.train_step(tools.as_tensors(batch_of(preprocess, TEXTS, filler)))
            results.append([variable.numpy() for variable in model.trainable_variables])
        assert max(largest(a - b) for a, b in zip(*results, strict=True)) < TOLERANCE

    def test_fit_learns(self, tools, preprocess):
        model = tools.build_tuner(keras.optimizers.Adam(3e-3), window_length=LENGTH)
        dataset = tools.make_dataset([batch_of(preprocess, TEXTS)] * 10)
        losses = model.fit(dataset, epochs=3, shuffle=False, verbose=0).history["loss"]
        assert losses[-1] < 0.8 * losses[0]

    def test_xla_is_declined(self, tools):
        """Keras asks the model, so that its "auto" does not compile windows on a GPU."""
        model, control = tools.build_tuner(window_length=LENGTH), tools.build_tuner()
        with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
            model.compile("sgd", model.loss, jit_compile=True)
        control.compile("sgd", control.loss, jit_compile=True)
        assert (model.jit_compile, control.jit_compile) == (False, True)
