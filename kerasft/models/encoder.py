"""The encoder: from token ids to one hidden vector a token. The only place that runs a backbone.

It calls the backbone's layers itself. This allows more than the backbone's own `call`: positions
that restart, a custom attention mask, hidden states, recomputed layers.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import keras
from keras import ops

from kerasft.errors import UserError
from kerasft.models.checkpointing import run_checkpointed
from kerasft.models.embeddings import keep_in_float32
from kerasft.models.encoder_layer import normalize
from kerasft.models.families.registry import family_of
from kerasft.models.layer_map import BlockContext


class Encoder(keras.layers.Layer):
    """Runs a pretrained backbone.

    Args:
        backbone: A `keras_hub.models.Backbone` of a family of `kerasft.models.families`.
        pooling: How `pool` makes one vector of a text: the `mean` over its tokens, the first
            token's (`cls`), or `pooled`, the first token's through the pretrained tanh layer.
        stochastic_depth: Share of the examples that skip the top layer in training; lower layers
            have less, in proportion to their depth (Huang et al. 2016, "Deep Networks with
            Stochastic Depth"; for whole transformer layers Fan et al. 2020, "LayerDrop"). Drawn for
            each example. Defaults to 0.
        gradient_checkpointing: Whether training keeps only the input of each layer and recomputes
            the layer for its gradient (`kerasft.models.checkpointing`). Defaults to false.
        attention_chunk: Number of queries computed at once, see `kerasft.models.fast.attention`; 0,
            the default, is all.

    Raises:
        UserError: If the backbone's family is not supported, or `pooling` is `pooled` and it has no
            pretrained pooling layer.
    """

    def __init__(
        self,
        backbone,
        *,
        pooling: str = "mean",
        stochastic_depth: float = 0.0,
        gradient_checkpointing: bool = False,
        attention_chunk: int = 0,
    ):
        super().__init__(name="encoder", dtype=backbone.dtype_policy)
        self.backbone = backbone
        self.family = family_of(backbone)
        self.layer_map = layer_map = self.family.map_layers(backbone)
        keep_in_float32(layer_map)
        self.pooling = pooling
        self.stochastic_depth = stochastic_depth
        if stochastic_depth:
            self._depth_seeds = keras.random.SeedGenerator(name="depth_seeds")
        self.gradient_checkpointing = gradient_checkpointing
        self.attention_chunk = attention_chunk
        if pooling == "pooled" and layer_map.pooler is None:
            raise UserError(
                f"{self.family.name} has no pretrained pooling layer.",
                received='model.pooling="pooled"',
                expected='"mean" or "cls" for this preset',
                fix='set model.pooling="mean".',
            )
        # Unused weights get no gradient: they are frozen.
        for layer in layer_map.unused:
            layer.trainable = False
        if layer_map.pooler is not None:
            layer_map.pooler.trainable = pooling == "pooled"
        self.built = True

    @property
    def hidden_dim(self) -> int:
        """Width of a hidden vector."""
        return self.backbone.hidden_dim

    @property
    def embedding_dim(self) -> int:
        """Width of a token's embedding; in some families less than `hidden_dim`."""
        return self.layer_map.token_table.output_dim

    def call(
        self, inputs: Mapping[str, object], positions=None, attention_mask=None, training=None
    ):
        """Encodes a batch.

        Args:
            inputs: The family's, int tensors of shape `(batch_size, sequence_length)`, such as
                `token_ids`, `segment_ids` and `padding_mask` (1 = real); others are not read.
                Optionally `embedding_offset`, float of shape `(batch_size, sequence_length,
                embedding_dim)`, which is added to the embeddings.
            positions: Optional int positions of the tokens, same shape; 0, 1, 2, ... by default.
            attention_mask: Optional mask `(batch_size, sequence_length, sequence_length)`, 1 where
                the row's token may attend to the column's.
            training: Whether dropout is on.

        Returns:
            Hidden vectors, `(batch_size, sequence_length, hidden_dim)`.
        """
        layer_map = self.layer_map
        context = BlockContext(inputs["padding_mask"], attention_mask, self.attention_chunk)
        again = training and self.gradient_checkpointing
        hidden = layer_map.embeddings.run(inputs, positions, self.compute_dtype, training)
        for index, block in enumerate(layer_map.blocks):
            run = functools.partial(block.run, context=context, training=training)
            deeper = run_checkpointed(block.layers, run, hidden) if again else run(hidden)
            hidden = self._pass_by(index, hidden, deeper) if training else deeper
        return hidden if layer_map.final_norm is None else normalize(layer_map.final_norm, hidden)

    def pool(self, sequence_output, padding_mask):
        """Returns one vector a text, `(batch_size, hidden_dim)`.

        `padding_mask` is `(batch_size, sequence_length)`, 1 where the token is real.
        """
        if self.pooling == "pooled":
            return self.layer_map.pooler(sequence_output[:, 0, :])
        if self.pooling == "cls":
            return sequence_output[:, 0, :]
        return self.mean(sequence_output, padding_mask)

    def mean(self, sequence_output, padding_mask):
        """Returns the mean over a text's real tokens, float32 `(batch_size, hidden_dim)`."""
        mask = ops.cast(ops.expand_dims(padding_mask, -1), "float32")
        total = ops.sum(ops.cast(sequence_output, "float32") * mask, axis=1)
        return total / ops.maximum(ops.sum(mask, axis=1), 1.0)

    def _pass_by(self, index: int, hidden, deeper):
        """Returns the layer's output, or its input for the examples that skip it."""
        if not self.stochastic_depth:
            return deeper
        depth = (index + 1) / len(self.layer_map.blocks)
        drawn = keras.random.uniform((ops.shape(hidden)[0], 1, 1), seed=self._depth_seeds)
        return ops.where(drawn < self.stochastic_depth * depth, hidden, deeper)
