"""AdamW: what is decayed, serialization, replicas. Its numbers are compared in tests/parity."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.presets import load_preset
from kerasft.training.step.optimizer import AdamW
from kerasft.training.step.schedule import WarmupDecay

# Of tiny_random: the embeddings and the kernels, and nothing else.
DECAYED = {
    "token_embedding/embeddings",
    "position_embedding/embeddings",
    "segment_embedding/embeddings",
    "pooled_dense/kernel",
    *(
        f"transformer_layer_{layer}/{name}/kernel"
        for layer in (0, 1)
        for name in (
            "self_attention_layer/query",
            "self_attention_layer/key",
            "self_attention_layer/value",
            "self_attention_layer/attention_output",
            "feedforward_intermediate_dense",
            "feedforward_output_dense",
        )
    ),
}


def one_step(optimizer, name, gradient=0.0):
    """Returns what a step makes of the value 1 of a variable of this name."""
    variable = keras.Variable(np.ones(1, "float32"), name=name)
    optimizer.apply([tf.constant([gradient])], [variable])
    return float(variable.numpy()[0])


class TestDecay:
    def test_of_the_variables_of_tiny_random(self):
        variables = load_preset("tiny_random").backbone.trainable_variables
        optimizer = AdamW(weight_decay=0.01)
        assert {v.path for v in variables if optimizer.decays(v.path)} == DECAYED
        assert len(variables) > len(DECAYED) + 16  # there are biases and LayerNorms to leave out

    @pytest.mark.parametrize(
        ("path", "decayed"),
        [
            ("head/logits/kernel", True),
            ("head/logits/bias", False),
            ("encoder/layer_norm/scale", False),
            ("encoder/LayerNorm_layernorm/scale", False),
            ("gamma", False),
            ("unbiased/kernel", True),
            ("gamma_ray/kernel", True),
        ],
    )
    def test_by_path(self, path, decayed):
        assert AdamW(weight_decay=0.01).decays(path) is decayed

    def test_without_decay_nothing_is(self):
        assert not AdamW(weight_decay=0.0).decays("logits/kernel")

    def test_own_patterns(self):
        optimizer = AdamW(0.1, weight_decay=0.5, no_weight_decay=["kernel"])
        assert one_step(optimizer, "kernel") == 1.0


def test_first_step_is_the_rate_in_the_gradient_s_direction():
    assert one_step(AdamW(0.1, weight_decay=0.0), "kernel", gradient=3.0) == pytest.approx(0.9)


def test_building_twice_keeps_the_moments():
    optimizer, variable = AdamW(0.1), keras.Variable(np.ones(1, "float32"))
    optimizer.apply([tf.constant([1.0])], [variable])
    before = [v.numpy() for v in optimizer.variables]
    optimizer.build([variable])
    assert len(before) == 4  # step, rate, momentum, velocity
    for received, expected in zip(optimizer.variables, before, strict=True):
        assert np.array_equal(received.numpy(), expected)


class TestSerialization:
    def optimizer(self):
        return AdamW(
            WarmupDecay(1e-2, warmup_steps=2, total_steps=9, power=2.0),
            weight_decay=0.3,
            beta_1=0.8,
            beta_2=0.99,
            epsilon=1e-6,
            no_weight_decay=("bias",),
            name="mine",
        )

    def test_round_trip(self):
        config = self.optimizer().get_config()
        restored = AdamW.from_config(dict(config))
        assert restored.get_config() == config
        assert (restored.name, restored.decay_rate, restored.beta_1) == ("mine", 0.3, 0.8)
        assert not restored.decays("bias")
        restored.iterations.assign(1)
        assert float(restored.learning_rate) == pytest.approx(5e-3)

    def test_through_keras(self):
        saved = keras.saving.serialize_keras_object(self.optimizer())
        restored = keras.saving.deserialize_keras_object(saved)
        assert isinstance(restored, AdamW)
        assert restored.get_config() == self.optimizer().get_config()
