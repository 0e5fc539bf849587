"""Adapting an encoder: what is trained of it, how much that is, and merging it away again."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.models import tiny_random
from kerasft.models.adapters.adapter import (
    MATRICES,
    adapter_of,
    add_adapter,
    describe_adapter,
    merge_adapter,
    pretrained_part,
)
from kerasft.models.encoder import Encoder
from kerasft.models.heads import LinearHead
from kerasft.training.step.fine_tuner import FineTuner

LAYERS, WIDTH, INNER = 2, 64, 128  # of tiny_random
METHODS = {
    "lora": {"method": "lora", "matrices": tuple(MATRICES), "rank": 4, "dropout": 0.1},
    "bitfit": {"method": "bitfit"},
    "houlsby": {"method": "houlsby", "bottleneck_dim": 6},
}


def build(pooling="mean", dtype="float32"):
    return Encoder(tiny_random.build_backbone(dropout=0.0, dtype=dtype), pooling=pooling)


def as_trained(encoder, *, deviation=0.1):
    """Moves all trained weights, as training does; a LoRA's B is not zero any more."""
    random = np.random.default_rng(1)
    for variable in encoder.trainable_weights:
        variable.assign_add(deviation * random.normal(size=variable.shape))


def make_inputs():
    rows = np.array([[2, 40, 41, 42, 3], [2, 50, 51, 3, 0]], "int32")
    return {"token_ids": rows, "segment_ids": 0 * rows, "padding_mask": np.int32(rows > 0)}


def logits_of(encoder):
    keras.utils.set_random_seed(2)
    head = LinearHead(2, hidden_dim=WIDTH, initializer_range=1.0)
    return FineTuner(encoder, head)(make_inputs()).numpy()


def kinds(paths):
    """The last parts of the paths, each once."""
    return {path.rpartition("/")[2] for path in paths}


def paths(variables):
    return [variable.path for variable in variables]


# --- how much is trained


LORA_SIDES = {
    "query": WIDTH + WIDTH,
    "key": WIDTH + WIDTH,
    "value": WIDTH + WIDTH,
    "output": WIDTH + WIDTH,
    "feedforward": 2 * (WIDTH + INNER),
}


@pytest.mark.parametrize(
    "matrices", [("query",), ("query", "value"), ("output", "feedforward"), tuple(MATRICES)]
)
@pytest.mark.parametrize("rank", [1, 8])
def test_a_lora_has_rank_times_both_sides_of_each_matrix(matrices, rank):
    encoder = build()
    before = encoder.count_params()
    report = add_adapter(encoder, method="lora", matrices=matrices, rank=rank)
    expected = LAYERS * rank * sum(LORA_SIDES[name] for name in matrices)
    assert (report.num_trainable, report.num_total) == (expected, before + expected)


def test_bitfit_trains_the_biases_of_projections_and_layer_norms():
    report = add_adapter(build(), method="bitfit")
    in_a_layer = 4 * WIDTH + (INNER + WIDTH) + 2 * WIDTH  # attention, feed-forward, two norms
    assert report.num_trainable == LAYERS * in_a_layer + WIDTH  # and that of the embeddings
    assert report.num_total == build().count_params()


def test_bitfit_trains_the_bias_of_a_pooling_layer_that_is_used():
    unused, used = (add_adapter(build(pooling), method="bitfit") for pooling in ("cls", "pooled"))
    assert used.num_trainable - unused.num_trainable == WIDTH


@pytest.mark.parametrize("width", [1, 48])
def test_houlsby_has_two_adapters_and_two_layer_norms_in_a_layer(width):
    encoder = build()
    before = encoder.count_params()
    report = add_adapter(encoder, method="houlsby", bottleneck_dim=width)
    adapter = (WIDTH * width + width) + (width * WIDTH + WIDTH)
    assert report.num_total - before == LAYERS * 2 * adapter
    assert report.num_trainable == LAYERS * 2 * (adapter + 2 * WIDTH)


def test_the_line_for_people():
    lora, houlsby = (add_adapter(build(), **METHODS[method]) for method in ("lora", "houlsby"))
    share = lora.num_trainable / lora.num_total
    assert lora.to_line() == (
        f"Adapter lora: {lora.num_trainable:,} of the encoder's {lora.num_total:,} weights are "
        f"trained ({share:.2%})."
    )
    assert houlsby.to_line().endswith("Its layers stay in the exported model.")


# --- which weights, and how they are listed


def test_of_a_lora_nothing_else_is_trained():
    encoder = build(pooling="pooled")
    add_adapter(encoder, **METHODS["lora"])
    assert kinds(paths(encoder.trainable_weights)) == {"lora_a", "lora_b"}
    frozen = paths(encoder.non_trainable_weights)
    assert frozen == paths(build().weights)  # all that was there before, in its order


def test_bitfit_adds_nothing_and_trains_no_matrix():
    encoder = build()
    add_adapter(encoder, method="bitfit")
    assert paths(encoder.weights) == paths(build().weights)
    assert kinds(paths(encoder.trainable_weights)) == {"bias", "beta"}
    assert "embeddings_layer_norm/beta" in paths(encoder.trainable_weights)
    left = [path for path in paths(encoder.non_trainable_weights) if path.endswith("bias")]
    assert left == ["pooled_dense/bias"]  # which no gradient would reach


def test_houlsby_trains_adapters_and_the_layers_layer_norms():
    encoder = build()
    add_adapter(encoder, **METHODS["houlsby"])
    trained = set(paths(encoder.trainable_weights))
    norms = {path for path in trained if path.rpartition("/")[2] in ("gamma", "beta")}
    assert len(norms) == LAYERS * 4
    assert all("layer_norm" in path and path.startswith("transformer") for path in norms)
    assert {path.split("/")[-2] for path in trained - norms} == {"down", "up"}


@pytest.mark.parametrize("method", METHODS)
class TestListing:
    def test_every_weight_is_listed_once_under_a_path_of_its_own(self, method):
        encoder = build()
        before = encoder.weights
        add_adapter(encoder, **METHODS[method])
        model = FineTuner(encoder, LinearHead(2, hidden_dim=WIDTH))
        for weights in (model.weights, model.variables):
            assert len(set(map(id, weights))) == len(weights)
        assert len(set(paths(model.weights))) == len(model.weights)
        trained, frozen = model.trainable_weights, model.non_trainable_weights
        assert len(trained) + len(frozen) == len(model.weights)
        assert not set(map(id, trained)) & set(map(id, frozen))
        assert set(map(id, before)) <= set(map(id, model.weights))
        assert all(a is b for a, b in zip(pretrained_part(encoder).weights, before, strict=True))

    def test_paths_say_where_a_weight_belongs_and_are_the_same_each_time(self, method):
        encoders = [build(), build()]
        for encoder in encoders:
            add_adapter(encoder, **METHODS[method])
            keras.layers.Dropout(0.5)  # moves on the numbers that Keras gives its layers
        first, second = (paths(encoder.weights) for encoder in encoders)
        assert first == second
        new = set(first) - set(paths(build().weights))
        parts = {
            "self_attention_layer",
            "feedforward_output_dense",
            "feedforward_intermediate_dense",
        }
        assert {path.split("/")[1] for path in new} <= parts
        assert {path.split("/")[0] for path in new} <= {f"transformer_layer_{i}" for i in (0, 1)}

    def test_a_second_encoder_on_the_backbone_shares_the_adapter(self, method):
        encoder = build()
        first = add_adapter(encoder, **METHODS[method])
        weights = encoder.weights
        second = Encoder(encoder.backbone, pooling="pooled")
        assert add_adapter(second, **METHODS[method]) == first  # the pooling layer stays frozen
        assert all(a is b for a, b in zip(second.weights, weights, strict=True))

    def test_mixed_bfloat16_is_obeyed(self, method):
        encoder = build(dtype="mixed_bfloat16")
        add_adapter(encoder, **METHODS[method])
        as_trained(encoder)
        assert {weight.dtype for weight in encoder.weights} == {"float32"}
        hidden = encoder(make_inputs())
        assert hidden.dtype == "bfloat16"
        exact = build()
        add_adapter(exact, **METHODS[method])
        as_trained(exact)
        difference = np.abs(hidden.numpy().astype("float32") - exact(make_inputs()).numpy()).max()
        assert 1e-5 < difference < 0.2


def test_matrices_count_whatever_their_order():
    encoders = [build(), build()]
    for encoder, matrices in zip(encoders, [("value", "query"), ("query", "value")], strict=True):
        add_adapter(encoder, method="lora", matrices=matrices)
    values = [[w.numpy() for w in encoder.trainable_weights] for encoder in encoders]
    assert all(np.array_equal(*pair) for pair in zip(*values, strict=True))
    firsts = [value for value in values[0] if value.any()]  # those of A
    assert len(firsts) == 2 * LAYERS
    assert not np.array_equal(firsts[0], firsts[1])  # each has a seed of its own


def test_the_seed_is_that_of_the_new_weights():
    def first_of(seed):
        encoder = build()
        add_adapter(encoder, method="lora", seed=seed)
        return encoder.trainable_weights[0].numpy()

    assert np.array_equal(first_of(1), first_of(1))
    assert not np.array_equal(first_of(1), first_of(2))


@pytest.mark.parametrize(("method", "tolerance"), [("lora", 1e-6), ("houlsby", 0.05)])
def test_at_the_start_the_encoder_answers_as_before(method, tolerance):
    encoder = build()
    before = logits_of(encoder)
    add_adapter(encoder, **METHODS[method])
    assert np.abs(logits_of(encoder) - before).max() < tolerance
    as_trained(encoder)
    assert np.abs(logits_of(encoder) - before).max() > 2 * tolerance


# --- merging


@pytest.mark.parametrize("matrices", [("query", "value"), tuple(MATRICES)])
class TestMerging:
    def adapted(self, matrices):
        encoder = build()
        before = encoder.weights
        add_adapter(encoder, method="lora", matrices=matrices, dropout=0.1)
        as_trained(encoder)
        return encoder, before

    def test_the_answer_is_the_same(self, matrices):
        encoder, _ = self.adapted(matrices)
        expected, untrained = logits_of(encoder), logits_of(build())
        assert merge_adapter(encoder) == LAYERS * sum(len(MATRICES[name]) for name in matrices)
        assert np.abs(logits_of(encoder) - expected).max() < 1e-5
        assert np.abs(expected - untrained).max() > 0.1  # the LoRA had something to say

    def test_the_encoder_has_its_own_variables_again(self, matrices):
        encoder, before = self.adapted(matrices)
        trained, seeds = paths(build().trainable_weights), len(build().variables)
        assert len(encoder.variables) > seeds
        merge_adapter(encoder)
        assert all(a is b for a, b in zip(encoder.weights, before, strict=True))
        assert len(encoder.variables) == seeds
        assert paths(encoder.trainable_weights) == trained
        assert adapter_of(encoder) is None
        assert describe_adapter(encoder) is None

    def test_merging_again_changes_nothing(self, matrices):
        encoder, _ = self.adapted(matrices)
        merge_adapter(encoder)
        expected = logits_of(encoder)
        assert merge_adapter(encoder) == 0
        assert np.array_equal(logits_of(encoder), expected)

    def test_a_merged_encoder_can_be_adapted_anew(self, matrices):
        encoder, _ = self.adapted(matrices)
        merge_adapter(encoder)
        expected = logits_of(encoder)
        add_adapter(encoder, method="bitfit")
        assert kinds(paths(encoder.trainable_weights)) == {"bias", "beta"}
        assert np.array_equal(logits_of(encoder), expected)


@pytest.mark.parametrize("method", ["bitfit", "houlsby", None])
def test_other_encoders_have_nothing_to_merge(method):
    encoder = build()
    if method:
        add_adapter(encoder, **METHODS[method])
    weights = paths(encoder.weights)
    assert merge_adapter(encoder) == 0
    assert paths(encoder.weights) == weights
    assert (describe_adapter(encoder) is None) is (method is None)


# --- what is refused


def test_bitfit_without_biases_is_refused():
    encoder = build()
    for variable in encoder.weights:
        variable.trainable = variable.path.endswith("kernel")
    with pytest.raises(UserError, match=r"BERT has no biases to train.*bitfit"):
        add_adapter(encoder, method="bitfit")


def test_a_rank_that_saves_nothing_is_refused():
    expected = r"Received: 'adapter\.rank=64'\. Expected: less than 64.*set adapter\.rank=8"
    with pytest.raises(UserError, match=expected):
        add_adapter(build(), method="lora", rank=WIDTH)
    add_adapter(build(), method="lora", rank=WIDTH - 1)


def test_a_second_adapter_is_refused():
    encoder = build()
    add_adapter(encoder, method="lora", rank=4)
    for settings in ({"method": "houlsby"}, {"method": "lora", "rank": 5}):
        with pytest.raises(ValueError, match=r"another adapter already\. Received: .*'rank': 4"):
            add_adapter(encoder, **settings)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"method": "none"},
            r"Unknown method\. Received: 'none'\. Expected: lora, bitfit, houlsby",
        ),
        ({"method": "lora", "matrices": ("query", "q")}, r"Unknown matrices\. .*'q'\]\. .*value"),
        ({"method": "lora", "matrices": ()}, r"Unknown matrices\. Received: \[\]"),
    ],
)
def test_unknown_names_are_refused(settings, expected):
    with pytest.raises(ValueError, match=expected):
        add_adapter(build(), **settings)
