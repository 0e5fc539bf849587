"""The encoder's weights by depth: freezing, unfreezing, and learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import keras

from kerasft.errors import UserError


class Group(NamedTuple):
    """Layers of one depth, from the bottom: `embeddings`, `layer 0`, `layer 1`, ..."""

    name: str
    layers: tuple[keras.layers.Layer, ...]

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of these layers."""
        return [weight for layer in self.layers for weight in layer.weights]


def encoder_groups(encoder) -> list[Group]:
    """Returns the encoder's layers by depth, from the embeddings up.

    A normalization of the top layer's output, and the pooler, if used, are in its group.
    """
    layer_map = encoder.layer_map
    groups = [Group("embeddings", layer_map.embeddings.layers)]
    groups += [Group(f"layer {i}", block.layers) for i, block in enumerate(layer_map.blocks)]
    pooler = layer_map.pooler if encoder.pooling == "pooled" else None
    above = [layer for layer in (layer_map.final_norm, pooler) if layer is not None]
    top = groups.pop()
    return [*groups, Group(top.name, (*top.layers, *above))]


def freeze(
    encoder, *, embeddings: bool = False, lowest_layers: int = 0, everything: bool = False
) -> None:
    """Freezes the encoder from the bottom: saves the gradient and the optimizer's memory.

    Args:
        encoder: A `kerasft.models.encoder.Encoder`.
        embeddings: Whether the embeddings are frozen.
        lowest_layers: Number of transformer layers to freeze, from the bottom, with the embeddings.
        everything: Whether the whole encoder is frozen, regardless of the other arguments.

    Raises:
        UserError: If there are not as many layers.
    """
    if everything:
        encoder.trainable = False
        return
    if not (embeddings or lowest_layers):
        return
    groups = encoder_groups(encoder)
    _check_count("freezing.lowest_layers", lowest_layers, groups)
    for group in groups[: lowest_layers + 1]:
        _set_trainable(group, False)


def thaw_from_top(encoder, num_groups: int) -> None:
    """Makes only the top `num_groups` of the encoder trainable; more than there are is all."""
    groups = encoder_groups(encoder)
    for rank, group in enumerate(reversed(groups)):
        _set_trainable(group, rank < num_groups)


def reinitialize(encoder, num_layers: int, *, seed: int) -> None:
    """Gives the top `num_layers` transformer layers new random weights, as before pretraining.

    The top layers are the most specialized on pretraining; reinitializing them helps on few
    examples (Zhang et al. 2021, "Revisiting Few-sample BERT Fine-tuning"). Matrices are drawn from
    a normal distribution with deviation 0.02, truncated at two deviations; biases are 0, LayerNorm
    1 and 0.

    Raises:
        UserError: If there are not as many layers.
    """
    if not num_layers:
        return
    groups = encoder_groups(encoder)
    _check_count("regularization.reinitialize_layers", num_layers, groups)
    seeds = keras.random.SeedGenerator(seed)
    for group in groups[-num_layers:]:
        for weight in group.weights:
            if len(weight.shape) > 1 and not weight.path.endswith("bias"):
                weight.assign(keras.random.truncated_normal(weight.shape, stddev=0.02, seed=seeds))
            else:
                weight.assign(keras.ops.full_like(weight, float(weight.path.endswith("gamma"))))


def rate_scales(encoder, head, *, layer_decay: float, head_scale: float) -> dict[str, float]:
    """Returns the learning-rate factor of each weight, by path, without factors of 1.

    The top layer has `layer_decay` times the rate, each lower layer `layer_decay` times that of the
    layer above, as in ELECTRA (Clark et al. 2020).

    Args:
        encoder: A `kerasft.models.encoder.Encoder`.
        head: The head.
        layer_decay: Above 0, at most 1; 1 is one rate for the whole encoder.
        head_scale: The head's rate divided by the encoder's.
    """
    scales = {weight.path: head_scale for weight in head.weights if head_scale != 1.0}
    if layer_decay == 1.0:
        return scales
    groups = encoder_groups(encoder)
    for rank, group in enumerate(reversed(groups), start=1):
        scales |= {weight.path: layer_decay**rank for weight in group.weights}
    return scales


def first_steps(encoder, unfreeze_every: int) -> dict[str, int]:
    """Returns the first step in which each weight is trained under gradual unfreezing, by path.

    Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification": the head
    and the top layer are trained from the start, and one more layer every `unfreeze_every` steps.
    """
    return {
        weight.path: rank * unfreeze_every
        for rank, group in enumerate(reversed(encoder_groups(encoder)))
        for weight in group.weights
    }


def _set_trainable(group: Group, trainable: bool) -> None:
    for layer in group.layers:
        layer.trainable = trainable


def _check_count(setting: str, count: int, groups: Sequence[Group]) -> None:
    num_layers = len(groups) - 1
    if count > num_layers:
        raise UserError(
            f"{setting}: the encoder has not as many layers.",
            received=count,
            expected=f"0 to {num_layers}: {', '.join(group.name for group in groups)}",
        )
