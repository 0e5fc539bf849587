"""What a model was trained and evaluated with is let go, its weights too."""

from __future__ import annotations

import gc
import weakref

import pytest
import tensorflow as tf

from kerasft.evaluation import forward
from kerasft.evaluation.forward import Forward
from kerasft.models.fast.fast_ops import gelu
from kerasft.training.distribution.strategy import build_strategy
from kerasft.training.loop import loop
from kerasft.training.loop.loop import train_steps


def train(tools, graphs):
    """A step of a model whose layer normalizations have a written gradient."""
    model = tools.build_tuner()
    plain_step = model.train_step

    def train_step(batch):
        graphs.append(weakref.ref(tf.compat.v1.get_default_graph()))
        return plain_step(batch)

    model.train_step = train_step
    dataset = tools.make_dataset([tools.make_batch(4)])
    (result,) = train_steps(model, build_strategy("one_device"), dataset, start_step=0)
    assert result.gradient_norm > 0


def evaluate(tools, graphs):
    """In bfloat16 there is one form of GELU for training and evaluation."""
    scale = tf.Variable(2.0)

    def scaled(inputs):
        graphs.append(weakref.ref(tf.compat.v1.get_default_graph()))
        return gelu(tf.cast(scale * tf.cast(inputs["token_ids"], tf.float32), tf.bfloat16))

    inputs, _, _ = tools.as_tensors(tools.make_batch(4))
    assert Forward(scaled)(inputs).shape[0] == 4


@pytest.mark.parametrize("work", [train, evaluate])
def test_nothing_holds_the_graph_when_all_is_done(tools, monkeypatch, work):
    graphs = []
    work(tools, graphs)
    gc.collect()
    assert [graph() for graph in graphs] == [None]
    for module in (loop, forward):
        monkeypatch.setattr(module, "forgetting_gradients", lambda function: function)
    work(tools, graphs)
    gc.collect()
    assert graphs[1]() is not None  # control: as long as TensorFlow holds it, we must let go
