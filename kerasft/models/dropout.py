"""Separate dropout rates for attention weights and the rest of a backbone."""

from __future__ import annotations

from kerasft.errors import UserError
from kerasft.models.private import layer_parts, set_attention_dropout


def split_dropouts(backbone, *, dropout: float, attention_dropout: float) -> None:
    """Gives a backbone two dropout rates, where KerasHub has one.

    Args:
        backbone: Built with the larger of the two: a layer without dropout has no random seed, and
            cannot get one later.
        dropout: Rate of embeddings and hidden vectors.
        attention_dropout: Rate of the attention weights.

    Raises:
        UserError: If the backbone's layers are not known.
    """
    layers = getattr(backbone, "transformer_layers", None)
    if layers is None or not hasattr(backbone, "embeddings_dropout"):
        raise UserError(
            f"{type(backbone).__name__} has dropouts that are not known one by one.",
            received=f"model.attention_dropout={attention_dropout}",
            fix="leave model.attention_dropout out.",
        )
    backbone.embeddings_dropout.rate = dropout
    for layer in layers:
        parts = layer_parts(layer)
        parts.attention_dropout.rate = parts.feedforward_dropout.rate = dropout
        set_attention_dropout(parts.attention, attention_dropout)
