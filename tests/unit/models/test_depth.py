"""Freezing, thawing, rates and fresh starts by depth."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.models.depth import (
    encoder_groups,
    first_steps,
    freeze,
    rate_scales,
    reinitialize,
    thaw_from_top,
)
from kerasft.models.encoder import Encoder
from kerasft.models.heads import LinearHead


@pytest.fixture
def encoder(tools):
    return Encoder(tools.build_backbone(num_layers=3))


def trained(encoder):
    """The names of the groups that are trained; a group is trained as a whole or not at all."""
    paths = {weight.path for weight in encoder.trainable_weights}
    names = []
    for group in encoder_groups(encoder):
        inside = {weight.path for weight in group.weights}
        assert inside <= paths or not inside & paths
        names += [group.name] * (inside <= paths)
    return names


def test_groups_hold_every_weight_once(encoder):
    groups = encoder_groups(encoder)
    assert [group.name for group in groups] == ["embeddings", "layer 0", "layer 1", "layer 2"]
    paths = [weight.path for group in groups for weight in group.weights]
    unused = {weight.path for weight in encoder.backbone.pooled_dense.weights}
    assert sorted(paths) == sorted({weight.path for weight in encoder.weights} - unused)


def test_the_pooling_layer_is_of_the_top_where_it_is_used(encoder):
    top = encoder_groups(Encoder(encoder.backbone, pooling="pooled"))[-1]
    assert top.name == "layer 2"
    assert len(top.layers) == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["embeddings", "layer 0", "layer 1", "layer 2"]),
        ({"embeddings": True}, ["layer 0", "layer 1", "layer 2"]),
        ({"lowest_layers": 2}, ["layer 2"]),
        ({"lowest_layers": 3}, []),
        ({"everything": True}, []),
    ],
)
def test_freeze(encoder, options, expected):
    freeze(encoder, **options)
    assert trained(encoder) == expected


def test_thaw_from_top_sets_exactly_the_top(encoder):
    for count, expected in ((1, ["layer 2"]), (3, ["layer 0", "layer 1", "layer 2"]), (0, [])):
        thaw_from_top(encoder, count)
        assert trained(encoder) == expected
    thaw_from_top(encoder, 99)
    assert len(trained(encoder)) == 4


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda e: freeze(e, lowest_layers=4), r"lowest_layers.*0 to 3: embeddings, layer 0"),
        (lambda e: reinitialize(e, 4, seed=1), r"reinitialize_layers.*Received: 4"),
    ],
)
def test_more_layers_than_there_are_is_an_error_that_lists_them(encoder, act, message):
    with pytest.raises(UserError, match=f"(?s){message}"):
        act(encoder)


class TestReinitialize:
    def test_only_the_top_begins_anew_as_bert_did(self, encoder):
        before = {weight.path: weight.numpy() for weight in encoder.weights}
        for weight in encoder.weights:
            weight.assign(weight + 1.0)
        reinitialize(encoder, 2, seed=1)
        groups = encoder_groups(encoder)
        for group in groups[:2]:
            for weight in group.weights:
                np.testing.assert_allclose(weight.numpy(), before[weight.path] + 1.0, rtol=1e-6)
        for weight in (weight for group in groups[2:] for weight in group.weights):
            value = weight.numpy()
            if weight.path.endswith("gamma"):
                np.testing.assert_array_equal(value, 1.0)
            elif "bias" in weight.path or weight.path.endswith("beta"):
                np.testing.assert_array_equal(value, 0.0)
            else:
                assert 0.01 < value.std() < 0.025
                assert np.abs(value).max() < 0.0401

    def test_the_seed_decides(self, encoder):
        def kernel(seed):
            reinitialize(encoder, 1, seed=seed)
            return np.concatenate([w.numpy().ravel() for w in encoder_groups(encoder)[-1].weights])

        np.testing.assert_array_equal(kernel(1), kernel(1))
        assert np.abs(kernel(1) - kernel(2)).max() > 0.01

    def test_no_layer_is_no_change(self, encoder):
        before = encoder.weights[5].numpy()
        reinitialize(encoder, 0, seed=1)
        np.testing.assert_array_equal(encoder.weights[5].numpy(), before)


class TestRates:
    def test_each_layer_has_less_than_the_one_above(self, encoder):
        head = LinearHead(2, hidden_dim=16)
        scales = rate_scales(encoder, head, layer_decay=0.5, head_scale=3.0)
        by_group = {
            group.name: {scales[weight.path] for weight in group.weights}
            for group in encoder_groups(encoder)
        }
        assert by_group == {
            "layer 2": {0.5},
            "layer 1": {0.25},
            "layer 0": {0.125},
            "embeddings": {0.0625},
        }
        assert {scales[weight.path] for weight in head.weights} == {3.0}

    def test_control_one_rate_for_all_scales_nothing(self, encoder):
        assert rate_scales(encoder, LinearHead(2, hidden_dim=16), layer_decay=1, head_scale=1) == {}

    def test_first_steps_are_those_at_which_layers_join(self, encoder):
        steps = first_steps(encoder, 10)
        top, *_, bottom = reversed(encoder_groups(encoder))
        assert {steps[weight.path] for weight in top.weights} == {0}
        assert {steps[weight.path] for weight in bottom.weights} == {30}
