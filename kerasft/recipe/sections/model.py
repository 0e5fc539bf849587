"""`[model]`: the encoder and its head."""

from __future__ import annotations

import dataclasses

from kerasft.recipe.rules import at_least, between, one_of, setting


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """`[model]`: the encoder, its input and its head."""

    preset: str = setting(
        "minilm_l6_en_uncased", "Pretrained encoder: a KerasHub name, hf://..., or a folder."
    )
    sequence_length: int = setting(
        256,
        "Tokens kept of an example in evaluation and serving, [CLS] and [SEP] included.",
        between(8, 8192),
    )
    truncation: str = setting(
        "head_tail",
        "Which part of a long text is kept.",
        one_of("head_tail", "head", "tail", "windows"),
    )
    window_stride: int | None = setting(
        None,
        "Tokens from one window's start to the next one's, for windows; unset: half a window.",
        at_least(1),
    )
    max_windows: int = setting(
        4, "Windows read of a text at most, for windows; their logits are averaged.", at_least(1)
    )
    head_fraction: float = setting(
        0.5, "Share of the kept tokens taken from the head, for head_tail.", between(0, 1)
    )
    pooling: str = setting(
        "mean", "What of the encoder's output the head sees.", one_of("mean", "cls", "pooled")
    )
    minimum_value: float | None = setting(
        None, "Answers of a model of numbers are not below this; unset: no bound."
    )
    maximum_value: float | None = setting(
        None, "Answers of a model of numbers are not above this; unset: no bound."
    )
    init_from: str | None = setting(
        None, "A run directory whose best encoder replaces the preset's weights; the head is new."
    )
    dropout: float = setting(0.1, "Dropout inside the encoder.", between(0, 0.9))
    attention_dropout: float | None = setting(
        None, "Dropout of the attention's weights; unset: model.dropout.", between(0, 0.9)
    )
    head_dropout: float = setting(0.1, "Dropout before the head.", between(0, 0.9))
