"""The encoder: token ids in, one hidden vector a token out.

The only place that runs a backbone. For a family whose layers it knows it calls these layers
itself, which allows what the backbone's own `call` does not: positions that restart, an attention
mask of the caller's, hidden states. Any other family runs whole.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import ops

from kerasft.errors import UserError

POOLINGS = ("mean", "cls", "pooled")

# The attributes of keras_hub's BertBackbone, in the order in which they are called.
_BERT_LAYERS = (
    "token_embedding",
    "position_embedding",
    "segment_embedding",
    "embeddings_add",
    "embeddings_layer_norm",
    "embeddings_dropout",
    "transformer_layers",
)


class Encoder(keras.layers.Layer):
    """Runs a pretrained backbone of the BERT family.

    Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers".

    Args:
        backbone: A `keras_hub.models.Backbone`.
        pooling: How `pool` makes one vector of a text: the `mean` over its tokens, the first
            token's (`cls`), or `pooled`, the first token's through the pretrained tanh layer.
        name: Layer name.

    Raises:
        UserError: If `pooling` is `pooled` and the backbone has no pooling layer.
    """

    def __init__(self, backbone, *, pooling: str = "mean", name: str = "encoder"):
        super().__init__(name=name, dtype=backbone.dtype_policy)
        self.backbone = backbone
        self.pooling = pooling
        self.runs_layers = all(hasattr(backbone, layer) for layer in _BERT_LAYERS)
        pooled_dense = getattr(backbone, "pooled_dense", None)
        if pooling == "pooled" and pooled_dense is None:
            raise UserError(
                f"{type(backbone).__name__} has no pretrained pooling layer.",
                received='model.pooling="pooled"',
                expected='"mean" or "cls" for this preset',
                fix='set model.pooling="mean".',
            )
        if pooled_dense is not None:
            # Unused weights would get no gradient: they are frozen.
            pooled_dense.trainable = pooling == "pooled"
        self.built = True

    @property
    def hidden_dim(self) -> int:
        """Width of a hidden vector."""
        return self.backbone.hidden_dim

    def call(
        self, inputs: Mapping[str, object], positions=None, attention_mask=None, training=None
    ):
        """Encodes a batch.

        Args:
            inputs: `token_ids`, `segment_ids` and `padding_mask` (1 = real), int tensors of shape
                `(batch_size, sequence_length)`.
            positions: Optional int positions of the tokens, same shape; 0, 1, 2, ... by default.
            attention_mask: Optional mask of shape `(batch_size, sequence_length,
                sequence_length)`, 1 where the row's token may look at the column's.
            training: Whether dropout is on.

        Returns:
            Hidden vectors, `(batch_size, sequence_length, hidden_dim)`.

        Raises:
            UserError: If `positions` or `attention_mask` is given for a family that runs whole.
        """
        if self.runs_layers:
            hidden = self._embed(inputs, positions, training)
            for layer in self.backbone.transformer_layers:
                hidden = layer(
                    hidden,
                    padding_mask=inputs["padding_mask"],
                    attention_mask=attention_mask,
                    training=training,
                )
            return hidden
        if positions is not None or attention_mask is not None:
            raise UserError(
                f"{type(self.backbone).__name__} runs as a whole: its layers are not known.",
                received="positions or attention_mask",
                expected="a preset of the BERT family",
            )
        known = {tensor.name for tensor in self.backbone.inputs}
        outputs = self.backbone(
            {name: tensor for name, tensor in inputs.items() if name in known}, training=training
        )
        return outputs["sequence_output"] if isinstance(outputs, Mapping) else outputs

    def pool(self, sequence_output, padding_mask):
        """Returns one vector a text, `(batch_size, hidden_dim)`.

        Args:
            sequence_output: What `call` returned.
            padding_mask: `(batch_size, sequence_length)`, 1 where the token is real.
        """
        if self.pooling == "pooled":
            return self.backbone.pooled_dense(sequence_output[:, 0, :])
        if self.pooling == "cls":
            return sequence_output[:, 0, :]
        mask = ops.cast(ops.expand_dims(padding_mask, -1), "float32")
        total = ops.sum(ops.cast(sequence_output, "float32") * mask, axis=1)
        return total / ops.maximum(ops.sum(mask, axis=1), 1.0)

    def _embed(self, inputs, positions, training):
        """Sums token, position and segment embeddings; normalizes; drops out."""
        backbone = self.backbone
        tokens = backbone.token_embedding(inputs["token_ids"])
        embedded = backbone.embeddings_add(
            (
                tokens,
                backbone.position_embedding(tokens, positions=positions),
                backbone.segment_embedding(inputs["segment_ids"]),
            )
        )
        hidden = backbone.embeddings_dropout(
            backbone.embeddings_layer_norm(embedded), training=training
        )
        # ELECTRA's small models embed narrower than they encode.
        projection = getattr(backbone, "embeddings_projection", None)
        return hidden if projection is None else projection(hidden)
