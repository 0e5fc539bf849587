"""Parameter-efficient fine-tuning: trains few weights of an encoder and freezes the others.

`lora` (Hu et al. 2021) and `houlsby` (Houlsby et al. 2019) add weights; `bitfit` (Ben Zaken et al.
2022, "BitFit: Simple Parameter-efficient Fine-tuning") trains the existing biases, including those
of the LayerNorms.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kerasft.errors import UserError
from kerasft.models.adapters.bottleneck import Bottleneck
from kerasft.models.adapters.lora import LoRA, matrix_shape
from kerasft.models.layer_map import find_places

# The words of recipes, and the linear layers of a block that they mean.
MATRICES = {
    "query": ("query",),
    "key": ("key",),
    "value": ("value",),
    "output": ("output",),
    "feedforward": ("up", "down"),
}
_HALVES = ("output", "down")  # their outputs, of attention and feed-forward, join the residual
LORA, BITFIT, HOULSBY = "lora", "bitfit", "houlsby"
_BIASES = ("bias", "beta")


@dataclasses.dataclass(frozen=True)
class Adapter:
    """An encoder's adaptation, kept by its backbone; variables are given by path.

    Args:
        settings: The method's own settings, as in `add_adapter`.
        added: The added variables.
        trained: All trained variables.
        trained_before: The variables that would be trained without the adapter.
    """

    method: str
    settings: Mapping[str, Any]
    added: frozenset[str]
    trained: frozenset[str]
    trained_before: frozenset[str]


class AdapterReport(NamedTuple):
    """The number of trained parameters of an encoder, and of all, those of the adapter included."""

    method: str
    num_trainable: int
    num_total: int

    def to_line(self) -> str:
        """Returns the log line."""
        stays = " Its layers stay in the exported model." if self.method == HOULSBY else ""
        return (
            f"Adapter {self.method}: {self.num_trainable:,} of the encoder's {self.num_total:,} "
            f"weights are trained ({self.num_trainable / self.num_total:.2%}).{stays}"
        )


class PretrainedPart(NamedTuple):
    """An encoder without its adapter: `weights`, trained and frozen."""

    weights: list


def add_adapter(
    encoder,
    *,
    method: str,
    matrices: Sequence[str] = ("query", "value"),
    rank: int = 8,
    alpha: float = 16.0,
    dropout: float = 0.0,
    bottleneck_dim: int = 64,
    seed: int = 1,
) -> AdapterReport:
    """Adapts an encoder in place: freezes most weights, and adds those of the method.

    Call it before the model is compiled. The head is not part of the encoder and is trained. A
    second encoder on the same backbone shares its adapter, as it shares its weights.

    Args:
        encoder: A `kerasft.models.encoder.Encoder`.
        method: `lora`: a `LoRA` on chosen matrices of each layer. `bitfit`: the biases of the
            encoder. `houlsby`: two `Bottleneck`s in each layer, after attention and after the
            feed-forward network, and the layers' LayerNorms.
        matrices: For `lora`: any of `query`, `key`, `value`, `output` and `feedforward` (both of
            its matrices). Defaults to query and value, as in the paper.
        rank: For `lora`: the rank. Defaults to 8.
        alpha: For `lora`: the update is scaled by `alpha / rank`. Defaults to 16.
        dropout: For `lora`: dropout before the update. Defaults to 0.
        bottleneck_dim: For `houlsby`: the adapters' width. Defaults to 64.
        seed: Seed of the new weights. Defaults to 1.

    Raises:
        UserError: The encoder's family lacks one of the matrices, or a rank is too high to be of
            use.
        ValueError: An unknown method or matrix, or the backbone already has another adapter.
    """
    settings = _settings_of(
        method,
        matrices=matrices,
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        bottleneck_dim=bottleneck_dim,
    )
    adapter = adapter_of(encoder)
    if adapter is None:
        adapter = _adapt(encoder, method, settings, seed)
        encoder.backbone.kerasft_adapter = adapter
    elif (adapter.method, adapter.settings) != (method, settings):
        raise ValueError(
            "The encoder's backbone has another adapter already. "
            f"Received: {method} {settings} on {adapter.method} {adapter.settings}. "
            "Expected: a backbone of its own for each model."
        )
    _train_only(encoder, adapter.trained)
    return describe_adapter(encoder)


def adapter_of(encoder) -> Adapter | None:
    """Returns an encoder's adapter; `None` if it has none, or it was merged."""
    return getattr(encoder.backbone, "kerasft_adapter", None)


def describe_adapter(encoder) -> AdapterReport | None:
    """Counts the trained parameters of an adapted encoder; `None` for any other."""
    adapter = adapter_of(encoder)
    if adapter is None:
        return None
    return AdapterReport(
        adapter.method,
        num_trainable=_count(encoder.trainable_weights),
        num_total=_count(encoder.weights),
    )


def merge_adapter(encoder) -> int:
    """Merges a LoRA into its matrices and removes it; returns the number of changed matrices.

    The encoder then has its original variables, frozen or not as before, at their original cost.
    Other methods cannot be merged: the encoder stays as it is.
    """
    adapter = adapter_of(encoder)
    if adapter is None or adapter.method != LORA:
        return 0
    roles = [role for name in adapter.settings["matrices"] for role in MATRICES[name]]
    places = find_places(encoder, roles, what="a LoRA")
    for place in places:
        place.put(place.layer.merge())
    encoder.backbone.kerasft_adapter = None
    _train_only(encoder, adapter.trained_before)
    return len(places)


def pretrained_part(encoder) -> PretrainedPart:
    """Returns the encoder's variables without those of its adapter."""
    adapter = adapter_of(encoder)
    added = frozenset() if adapter is None else adapter.added
    return PretrainedPart([v for v in encoder.weights if v.path not in added])


def _settings_of(method: str, *, matrices: Sequence[str], **settings) -> dict[str, Any]:
    """Returns a method's settings as plain data, the matrices in a fixed order.

    Raises:
        ValueError: An unknown method or matrix.
    """
    names = {LORA: ("rank", "alpha", "dropout"), BITFIT: (), HOULSBY: ("bottleneck_dim",)}
    if method not in names:
        raise ValueError(f"Unknown method. Received: {method!r}. Expected: {', '.join(names)}.")
    own = {name: settings[name] for name in names[method]}
    if method != LORA:
        return own
    if not matrices or not set(matrices) <= MATRICES.keys():
        raise ValueError(
            f"Unknown matrices. Received: {list(matrices)}. Expected: some of "
            f"{', '.join(MATRICES)}."
        )
    return {"matrices": [name for name in MATRICES if name in matrices], **own}


def _adapt(encoder, method: str, settings: Mapping[str, Any], seed: int) -> Adapter:
    """Adds a method's weights, and determines which variables are trained."""
    before, trained_before = _paths(encoder.weights), _paths(encoder.trainable_weights)
    chosen: Iterable[str] = ()
    if method == LORA:
        _add_lora(encoder, **settings, seed=seed)
    elif method == HOULSBY:
        _add_bottlenecks(encoder, **settings, seed=seed)
        chosen = _paths(_layer_norm_weights(encoder))
    else:
        chosen = _biases(encoder)
    added = _paths(encoder.weights) - before
    return Adapter(
        method,
        settings,
        added=added,
        trained=added.union(chosen),
        trained_before=trained_before,
    )


def _train_only(encoder, paths: frozenset[str]) -> None:
    """Freezes all of an encoder except the variables of these paths."""
    for variable in encoder.weights:
        variable.trainable = variable.path in paths


def _add_lora(
    encoder, *, matrices: Sequence[str], rank: int, alpha: float, dropout: float, seed: int
) -> None:
    """Adds a LoRA to each chosen matrix."""
    roles = [role for name in matrices for role in MATRICES[name]]
    places = find_places(encoder, roles, what='adapter.method="lora"')
    smallest = min(min(matrix_shape(place.layer)) for place in places)
    if rank >= smallest:
        raise UserError(
            "The rank of a LoRA is that of a matrix itself: it would save nothing.",
            received=f"adapter.rank={rank}",
            expected=f"less than {smallest}, the smaller side of the smallest matrix",
            fix="set adapter.rank=8.",
        )
    for place, own_seed in zip(places, _seeds(seed, len(places)), strict=True):
        layer = LoRA(place.layer, rank=rank, alpha=alpha, dropout=dropout, seed=own_seed)
        place.put(layer)


def _add_bottlenecks(encoder, *, bottleneck_dim: int, seed: int) -> None:
    """Adds a bottleneck after each half of each layer."""
    places = find_places(encoder, _HALVES, what='adapter.method="houlsby"')
    for place, own_seed in zip(places, _seeds(seed, len(places)), strict=True):
        place.put(Bottleneck(place.layer, bottleneck_dim=bottleneck_dim, seed=own_seed))


def _layer_norm_weights(encoder) -> list:
    """Returns the weights of the LayerNorms inside the layers."""
    norms = [norm for block in encoder.layer_map.blocks for norm in block.norms]
    return [variable for norm in norms for variable in norm.weights]


def _biases(encoder) -> set[str]:
    """Returns the paths of the biases, without those of an unused pooling layer."""
    paths = _paths(encoder.trainable_weights)
    biases = {path for path in paths if path.rpartition("/")[2] in _BIASES}
    if not biases:
        raise UserError(
            f"{encoder.family.name} has no biases to train.",
            received='adapter.method="bitfit"',
            fix='set adapter.method="none".',
        )
    return biases


def _seeds(seed: int, count: int) -> list[int]:
    """Returns a seed for each layer; those of different runs are unlikely to coincide."""
    return [int(s >> 1) for s in np.random.SeedSequence(seed).generate_state(count)]


def _paths(variables: Iterable) -> frozenset[str]:
    return frozenset(variable.path for variable in variables)


def _count(variables: Iterable) -> int:
    return sum(math.prod(variable.shape) for variable in variables)
