"""What unit tests share: a model of one narrow layer with batches that it can learn, and runs.

A run's recipe loads in a moment.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.encoder import Encoder
from kerasft.recipe import load_recipe
from kerasft.run_dir import create_run_dir
from kerasft.runs.context import load_context
from kerasft.tasks.classification import Classification
from kerasft.training.callbacks.callback import Callback
from kerasft.training.distribution.strategy import build_strategy
from kerasft.training.step.fine_tuner import FineTuner

VOCABULARY_SIZE = 60


def build_backbone(dropout=0.0, **sizes):
    usual = {
        "vocabulary_size": VOCABULARY_SIZE,
        "num_layers": 1,
        "num_heads": 2,
        "hidden_dim": 16,
        "intermediate_dim": 32,
        "max_sequence_length": 32,
    }
    return keras_hub.models.BertBackbone(**(usual | sizes), dropout=dropout)


def build_tuner(optimizer=None, *, backbone=None, dropout=0.0, kind=FineTuner, **options):
    """Builds a compiled FineTuner with the same weights and seeds each time."""
    keras.utils.set_random_seed(7)
    task = Classification(("neg", "pos"))
    encoder = Encoder(build_backbone(dropout) if backbone is None else backbone())
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=dropout, seed=1)
    model = kind(encoder, head, **options)
    model.compile(
        optimizer=optimizer or keras.optimizers.SGD(0.5),
        loss=task.build_loss(),
        metrics=task.build_metrics(),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def make_batch(num_rows, *, seed=0, length=8, filler=0):
    """Makes `(inputs, labels, sample_weight)`; the last `filler` rows have weight 0.

    The label is whether a text's second token is of the vocabulary's upper half. Filler rows are
    no copies of others: counting them would show.
    """
    random = np.random.default_rng(seed)
    lengths = random.integers(3, length + 1, num_rows)
    token_ids = random.integers(5, VOCABULARY_SIZE, (num_rows, length))
    token_ids[:, 2] = token_ids[:, 1]  # ids repeat, in a text and from text to text
    padding_mask = np.arange(length) < lengths[:, None]
    rows = token_ids * padding_mask
    if filler:
        rows = np.concatenate([rows, random.integers(5, VOCABULARY_SIZE, (filler, length))])
        padding_mask = np.concatenate([padding_mask, np.ones((filler, length))])
    inputs = {
        "token_ids": rows.astype("int32"),
        "segment_ids": np.zeros_like(rows, "int32"),
        "padding_mask": padding_mask.astype("int32"),
    }
    labels = (rows[:, 1] >= VOCABULARY_SIZE // 2).astype("int32")
    return inputs, labels, np.repeat([1, 0], [num_rows, filler]).astype("float32")


def make_dataset(batches):
    """Makes a dataset of batches, with the open shapes that the data pipeline's have."""
    matrix = tf.TensorSpec([None, None], tf.int32)
    inputs = dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), matrix)
    signature = (inputs, tf.TensorSpec([None], tf.int32), tf.TensorSpec([None], tf.float32))
    dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(len(batches)))


def as_tensors(batch):
    return tf.nest.map_structure(tf.constant, batch)


def mirrored():
    """The strategy over the two logical CPUs; there must be one of it in a process."""
    return build_strategy("mirrored")


@contextlib.contextmanager
def expect_of(library, what):
    """Fails in words where a library no longer has a private part that kerasft reads."""
    try:
        yield
    except (AttributeError, ImportError, TypeError, AssertionError) as error:
        pytest.fail(
            f"{library} was expected to have {what}: {error}. Adapt the private.py that reads it, "
            "or lower the upper bound in pyproject.toml."
        )


class Messages(list, Callback):
    """Notes what a run announces."""

    on_message = list.append


class Toolbox:
    """What test modules share (they cannot import a conftest)."""

    build_backbone = staticmethod(build_backbone)
    build_tuner = staticmethod(build_tuner)
    make_batch = staticmethod(make_batch)
    make_dataset = staticmethod(make_dataset)
    as_tensors = staticmethod(as_tensors)
    mirrored = staticmethod(mirrored)
    expect_of = staticmethod(expect_of)
    Messages = Messages


@pytest.fixture(scope="session")
def tools():
    return Toolbox


QUICK = {
    "data.train_examples": 40,
    "data.test_examples": 20,
    "model.sequence_length": 16,
    "training.steps": 4,
    "training.batch_size": 8,
    "training.dtype_policy": "float32",
    "evaluation.bootstrap_resamples": 10,
    "export.verify": False,
    "logging.plots": False,
}


@pytest.fixture
def make_recipe():
    """Makes `imdb_sample` with few examples, and what else is changed."""

    def make(overrides=None, name="imdb_sample"):
        return load_recipe(name, {**QUICK, **(overrides or {})})

    return make


@pytest.fixture
def make_context(make_recipe, tmp_path, monkeypatch):
    """Makes the context of a run of a recipe, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def make(overrides=None, *, callbacks=(), **options):
        return load_context(make_recipe(overrides, **options), callbacks)

    return make


@pytest.fixture
def make_run_dir(tmp_path):
    """Makes the run directory of a context."""

    def make(context):
        run_dir = create_run_dir(context.recipe.name, tmp_path / "runs")
        context.resolved.write(run_dir)
        run_dir.write_text("recipe.toml", context.asked.to_toml())
        return run_dir

    return make


@pytest.fixture
def write_recipe(tmp_path):
    """Writes a recipe of the user's own and returns its path."""

    def write(text: str | bytes, name: str = "mine.toml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write
