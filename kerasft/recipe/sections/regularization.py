"""`[regularization]` and `[augmentation]`: against overfitting."""

from __future__ import annotations

import dataclasses

from kerasft.recipe.rules import above_up_to, at_least, between, from_up_to, setting


@dataclasses.dataclass(frozen=True)
class RegularizationSettings:
    """`[regularization]`: keeps a model from memorizing its examples."""

    l1: float = setting(0.0, "Weight of the sum of the weights' magnitudes.", between(0, 1))
    l2: float = setting(0.0, "Weight of half the sum of the squared weights.", between(0, 1))
    l2_sp: float = setting(
        0.0,
        "Weight of half the squared distance from the encoder's pretrained weights (L2-SP).",
        between(0, 1),
    )
    stochastic_depth: float = setting(
        0.0,
        "Share of the examples that skip the top layer in training; lower ones less, linearly.",
        between(0, 0.9),
    )
    r_drop: float = setting(
        0.0,
        "Weight of the divergence between two passes under different dropout (R-Drop).",
        at_least(0),
    )
    adversarial_epsilon: float = setting(
        0.0,
        "Length of the adversarial step on each text's embeddings (FGM): a part of one token's "
        "length, such as 0.2; 0 is none.",
        at_least(0),
    )
    mixup_alpha: float = setting(
        0.0, "Beta distribution of mix-up on the pooled vectors; 0 is none.", at_least(0)
    )
    reinitialize_layers: int = setting(
        0, "So many of the top layers begin anew, with random weights.", at_least(0)
    )


@dataclasses.dataclass(frozen=True)
class AugmentationSettings:
    """`[augmentation]`: training texts are altered, differently in every epoch."""

    share: float = setting(
        1.0,
        "Share of the examples that are altered at all, drawn anew each epoch.",
        above_up_to(0, 1),
    )
    deletion: float = setting(0.0, "Chance of each word to be left out.", from_up_to(0, 1))
    swap: float = setting(
        0.0, "Chance of each word to change places with the next one.", from_up_to(0, 1)
    )
    word_dropout: float = setting(
        0.0, "Chance of each token to become the unknown one.", from_up_to(0, 1)
    )
    typos: float = setting(
        0.0, "Chance of each word to get one mistake of typing.", from_up_to(0, 1)
    )
    casing: float = setting(
        0.0, "Chance of each word to change between lower and upper case.", from_up_to(0, 1)
    )
