"""Standing in for a layer: what of keras_hub and Keras it rests on, and that nothing is lost."""

from __future__ import annotations

import keras
import keras_hub
import pytest

from kerasft.errors import UserError
from kerasft.models.encoder import Encoder
from kerasft.models.layer_map import find_places

SIZES = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16}
ROLES = ("query", "key", "value", "output", "up", "down")


class StandIn(keras.layers.Layer):
    """Calls the layer that it stands for, and has a weight of its own."""

    def __init__(self, base):
        super().__init__(name=base.name)
        self.base = base

    def build(self, input_shape=None):
        self.extra = self.add_weight(name="extra", shape=(1,), initializer="zeros")

    def call(self, inputs):
        return self.base(inputs) + self.extra


def build_bert():
    return Encoder(keras_hub.models.BertBackbone(vocabulary_size=60, **SIZES))


def names(layer):
    return [(id(weight), weight.path) for weight in layer.weights]


def test_a_stand_in_is_listed_in_its_place_and_every_weight_once():
    """Fails the day that Keras's tracker, which is private, works otherwise."""
    encoder = build_bert()
    before = names(encoder)
    layers = {id(place.parent): list(place.parent._layers) for place in _places(encoder)}
    for place in _places(encoder):
        place.put(StandIn(place.layer))
    weights = names(encoder)
    assert len(set(weights)) == len(weights) == len(before) + 2 * len(ROLES)
    assert len({path for _, path in weights}) == len(weights)
    assert [weight for weight in weights if weight in before] == before  # in their order
    assert set(map(id, encoder.trainable_weights)) | set(
        map(id, encoder.non_trainable_weights)
    ) == {key for key, _ in weights}
    for place in _places(encoder):
        listed, old = place.parent._layers, layers[id(place.parent)]
        assert place.layer in listed
        assert [getattr(layer, "base", layer) for layer in listed] == old
    for place in _places(encoder):
        place.put(place.layer.base)
    assert names(encoder) == before


def test_a_stand_in_is_called_and_its_weight_says_where_it_belongs():
    encoder = build_bert()
    place = next(place for place in _places(encoder) if place.layer.name == "value")
    place.put(StandIn(place.layer))
    assert place.layer.extra.path == "transformer_layer_0/self_attention_layer/value/extra"
    rows = [[2, 40, 41, 3]]
    inputs = {"token_ids": rows, "segment_ids": [[0] * 4], "padding_mask": [[1] * 4]}
    inputs = {name: keras.ops.array(value, "int32") for name, value in inputs.items()}
    without = encoder(inputs).numpy()
    place.layer.extra.assign([30.0])
    assert abs(encoder(inputs).numpy() - without).max() > 1e-3
    place.put(place.layer.base)
    assert abs(encoder(inputs).numpy() - without).max() < 1e-6


def test_control_setting_the_attribute_alone_is_refused_by_keras():
    place = _places(build_bert())[0]
    stand_in = StandIn(place.layer)
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        setattr(place.parent, place.attribute, stand_in)


def test_a_matrix_that_a_block_has_not_is_refused_by_name():
    encoder = build_bert()
    del encoder.layer_map.blocks[1].linears["key"]
    expected = "BERT has no separate .key. matrix.*Received: 'a test'.*Expected: query, key, value"
    with pytest.raises(UserError, match=expected):
        _places(encoder)


def _places(encoder):
    return find_places(encoder, ROLES, what="a test")
