"""Gradient checkpointing: whole steps, with all that a recipe may put beside it, bit for bit."""

from __future__ import annotations

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.grappler import tf_optimizer

from kerasft.models import checkpointing
from kerasft.models.adapters.adapter import add_adapter
from kerasft.models.depth import freeze
from kerasft.models.encoder import Encoder
from kerasft.tasks.classification import Classification
from kerasft.training.distribution.strategy import build_strategy
from kerasft.training.step.fine_tuner import FineTuner
from kerasft.training.step.objective import Objective

TOGETHER = {  # what draws random numbers, casts, or takes several passes
    "dtype": "mixed_bfloat16",
    "adapter": "lora",
    "r_drop": 1.0,
    "parts": 2,
}


def build(tools, *, checkpointing, dtype="float32", adapter=None, lowest_layers=0, **options):
    """Builds a compiled model with dropout, the same each time: one layer, and the frozen ones."""
    keras.utils.set_random_seed(3)
    backbone = tools.build_backbone(0.2, num_layers=1 + lowest_layers, dtype=dtype)
    encoder = Encoder(backbone, gradient_checkpointing=checkpointing)
    if adapter:
        add_adapter(encoder, method=adapter, matrices=("query", "feedforward"), dropout=0.3)
    freeze(encoder, lowest_layers=lowest_layers)
    task = Classification(("neg", "pos"))
    model = FineTuner(
        encoder,
        task.build_head(hidden_dim=16, dropout=0.0, seed=1),
        accumulation_steps=options.pop("parts", 1),
        objective=Objective(divergence=task.divergence, **options),
    )
    optimizer = keras.optimizers.SGD(0.5, momentum=0.9)
    model.compile(optimizer=optimizer, loss=task.build_loss(), jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


@contextlib.contextmanager
def graphs(*, optimized):
    """Turns TensorFlow's optimizer of graphs off: it orders sums anew, as each graph suits it."""
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": not optimized})
    yield
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def train(tools, strategy="one_device", *, optimized=False, **options):
    """Returns all variables after two steps, random states included, by number and name."""
    strategy = build_strategy(strategy)
    with strategy.scope():
        model = build(tools, **options)
    signature = tools.make_dataset([]).element_spec

    @tf.function(input_signature=[signature])
    def step(batch):
        return strategy.run(model.train_step, args=(batch,))

    with graphs(optimized=optimized):
        for seed in range(2):
            step(tools.as_tensors(tools.make_batch(4, seed=seed)))
    return {f"{i} {v.name}": v.numpy() for i, v in enumerate(model.variables)}


def differing(ours, theirs):
    """The names of the variables that differ in any bit."""
    assert ours.keys() == theirs.keys()
    return [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()]


def optimized_ops(function):
    """The operations that a function of no arguments runs, after TensorFlow's optimization."""
    graph = function.get_concrete_function().graph
    for tensor in tf.nest.flatten(graph.structured_outputs, expand_composites=True):
        graph.add_to_collection("train_op", tensor)  # what must be computed
    meta_graph = tf.compat.v1.train.export_meta_graph(graph_def=graph.as_graph_def(), graph=graph)
    return [
        node.op for node in tf_optimizer.OptimizeGraph(config_pb2.ConfigProto(), meta_graph).node
    ]


@pytest.fixture(scope="module")
def plain(tools):
    return train(tools, checkpointing=False)


@pytest.mark.parametrize(
    "options",
    [{}, TOGETHER, {"lowest_layers": 1, "dtype": "mixed_float16"}, {"strategy": "mirrored"}],
    ids=["alone", "all", "frozen", "two replicas"],
)
def test_steps_are_those_without_it_bit_for_bit(tools, options):
    without, checkpointed = (train(tools, checkpointing=c, **options) for c in (False, True))
    assert differing(without, checkpointed) == []


def test_in_optimized_graphs_they_are_so_but_for_rounding(tools, plain):
    checkpointed = train(tools, checkpointing=True, optimized=True)
    for name, values in plain.items():
        assert np.abs(values - checkpointed[name]).max() < 1e-6, name


def test_control_a_second_pass_under_another_dropout_would_be_seen(tools, plain, monkeypatch):

    def other_seeds(upstream, tensors):
        inputs, *seeds = tensors
        return [inputs, *(seed + 1 for seed in seeds)]

    monkeypatch.setattr(checkpointing, "_known_after", other_seeds)
    checkpointed = train(tools, checkpointing=True)
    assert max(np.abs(plain[name] - checkpointed[name]).max() for name in plain) > 1e-3


def test_the_second_pass_is_computed_and_after_the_gradient_from_above(tools, monkeypatch):
    """Counted where TensorFlow has optimized the graph, which may merge equal computations."""

    def count(checkpointed):
        encoder = build(tools, checkpointing=checkpointed).encoder
        ids = tf.reshape(tf.range(24) % 60, (3, 8))
        inputs = {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": ids * 0 + 1}
        variables = [v.value for v in encoder.trainable_variables]

        @tf.function
        def gradients():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(tf.sin(encoder(inputs, training=True)))
            return tape.gradient(loss, variables)

        return optimized_ops(gradients).count("StatelessRandomUniformFullIntV2")

    plain = count(False)
    assert plain == 4  # one of the embeddings, three of the layer
    assert count(True) == plain + 3
    monkeypatch.setattr(checkpointing, "_known_after", lambda upstream, tensors: tensors)
    assert count(True) == plain  # control: TensorFlow merges both passes, and keeps the first's
