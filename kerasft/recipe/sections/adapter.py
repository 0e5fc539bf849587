"""`[freezing]` and `[adapter]`: which weights are trained."""

from __future__ import annotations

import dataclasses

from kerasft.recipe.rules import above, at_least, between, each_of, one_of, setting

ADAPTERS = ("none", "lora", "bitfit", "houlsby")
LORA_MATRICES = ("query", "key", "value", "output", "feedforward")


@dataclasses.dataclass(frozen=True)
class FreezingSettings:
    """`[freezing]`: the parts of the encoder that keep their pretrained weights."""

    embeddings: bool = setting(False, "Freeze the embeddings.")
    lowest_layers: int = setting(
        0, "Freeze the embeddings and so many layers above them.", at_least(0)
    )
    encoder: bool = setting(False, "Freeze all but the head.")


@dataclasses.dataclass(frozen=True)
class AdapterSettings:
    """`[adapter]`: few new or chosen weights are trained, all others stay frozen."""

    method: str = setting(
        "none",
        "lora: low-rank updates of matrices; bitfit: the biases alone; houlsby: bottleneck layers.",
        one_of(*ADAPTERS),
    )
    matrices: tuple[str, ...] = setting(
        ("query", "value"),
        f"Which matrices get a LoRA: any of {', '.join(LORA_MATRICES)}.",
        each_of(LORA_MATRICES),
    )
    rank: int = setting(8, "Rank of a LoRA.", at_least(1))
    alpha: float = setting(16.0, "A LoRA counts alpha / rank times.", above(0))
    dropout: float = setting(0.0, "Dropout before a LoRA.", between(0, 0.9))
    bottleneck_dim: int = setting(64, "Width of a Houlsby adapter.", at_least(1))
    init_from: str | None = setting(
        None, "A run directory or adapter folder whose adapter is loaded onto the preset."
    )
