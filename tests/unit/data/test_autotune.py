"""No pipeline of ours has tf.data's tuner, whose sleep the end of an iterator may wait for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kerasft.data.batches.feature_batches import build_feature_dataset
from kerasft.data.batches.token_batches import build_evaluation_dataset, build_train_dataset
from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.data.sources.source import load_source
from kerasft.data.store.token_store import load_or_build_token_store
from kerasft.training.distribution.strategy import distribute


def is_tuned(dataset):
    return dataset.options().autotune.enabled is not False


@pytest.fixture
def store(make_source, make_preprocessor, tmp_path):
    source = make_source([b"one two", b"three", b"four five six"])
    return load_or_build_token_store(
        source, "train", preprocessor=make_preprocessor(), folder=tmp_path
    )


def test_what_is_evaluated_and_trained_on_is_not_tuned(store):
    indices = np.arange(3)
    plan = BatchPlan(store.lengths[indices], batch_size=2, seed=1)
    assert not is_tuned(build_evaluation_dataset(store, indices, 2))
    assert not is_tuned(build_train_dataset(store, indices, plan, num_steps=2))
    features, labels = np.zeros((3, 2), np.float32), np.zeros(3, np.int32)
    assert not is_tuned(build_feature_dataset(features, labels, plan, num_steps=2))


def test_nor_is_what_replicas_are_dealt():
    dealt = []
    strategy = SimpleNamespace(
        num_replicas_in_sync=2,
        distribute_datasets_from_function=lambda parts_of: dealt.append(
            parts_of(SimpleNamespace(num_input_pipelines=1, input_pipeline_id=0))
        ),
    )
    distribute(strategy, tf.data.Dataset.from_tensors(tf.zeros([4, 3])))
    assert not is_tuned(dealt[0])
    assert [part.shape for (part,) in dealt[0]] == [(2, 3), (2, 3)]


def test_nor_is_what_tfds_reads(shared_tfds, monkeypatch):
    seen = []

    def note(dataset):
        seen.append(dataset)
        return dataset

    monkeypatch.setattr("kerasft.data.batches.autotune.without_autotune", note)
    assert next(iter(load_source("glue/wnli", str(shared_tfds)).iterate("validation"))).text
    assert len(seen) == 1


def test_control_by_itself_tf_data_tunes():
    assert is_tuned(tf.data.Dataset.range(3).prefetch(1))
