"""The encoder: from token ids to one hidden vector a token. The only place that runs a backbone.

For a known family it calls the backbone's layers itself. This allows more than the backbone's own
`call`: positions that restart, a custom attention mask, hidden states. Any other family runs whole.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import keras
from keras import ops

from kerasft.errors import UserError
from kerasft.models.checkpointing import run_checkpointed
from kerasft.models.embeddings import embed, keep_in_float32
from kerasft.models.encoder_layer import run_layer

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


def knows_layers(backbone) -> bool:
    """Whether a backbone's layers are called one by one; otherwise it runs whole."""
    return all(hasattr(backbone, layer) for layer in _BERT_LAYERS)


class Encoder(keras.layers.Layer):
    """Runs a pretrained backbone of the BERT family.

    Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers".

    Args:
        backbone: A `keras_hub.models.Backbone`.
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
        UserError: If `pooling` is `pooled` and the backbone has no pooling layer, or a setting
            needs the layers of a family that runs whole.
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
        self.pooling = pooling
        self.runs_layers = knows_layers(backbone)
        if self.runs_layers:
            keep_in_float32(backbone)
        self.stochastic_depth = stochastic_depth
        if stochastic_depth:
            self.require_layers("regularization.stochastic_depth")
            self._depth_seeds = keras.random.SeedGenerator(name="depth_seeds")
        self.gradient_checkpointing = gradient_checkpointing
        if gradient_checkpointing:
            self.require_layers("performance.gradient_checkpointing")
        self.attention_chunk = attention_chunk
        if attention_chunk:
            self.require_layers("performance.attention_chunk")
        pooled_dense = getattr(backbone, "pooled_dense", None)
        if pooling == "pooled" and pooled_dense is None:
            raise UserError(
                f"{type(backbone).__name__} has no pretrained pooling layer.",
                received='model.pooling="pooled"',
                expected='"mean" or "cls" for this preset',
                fix='set model.pooling="mean".',
            )
        if pooled_dense is not None:
            # Unused weights get no gradient: they are frozen.
            pooled_dense.trainable = pooling == "pooled"
        self.built = True

    @property
    def hidden_dim(self) -> int:
        """Width of a hidden vector."""
        return self.backbone.hidden_dim

    @property
    def embedding_dim(self) -> int:
        """Width of a token's embedding; in ELECTRA less than `hidden_dim`."""
        self.require_layers("the token embedding")
        return self.backbone.token_embedding.output_dim

    def require_layers(self, what: str) -> None:
        """Checks that the backbone's layers are known; `what` (such as a setting) needs them.

        Raises:
            UserError: The layers are not known.
        """
        if not self.runs_layers:
            raise UserError(
                f"{type(self.backbone).__name__} runs as a whole: its layers are not known.",
                received=what,
                expected="a preset of the BERT family",
            )

    def call(
        self, inputs: Mapping[str, object], positions=None, attention_mask=None, training=None
    ):
        """Encodes a batch.

        Args:
            inputs: `token_ids`, `segment_ids` and `padding_mask` (1 = real), int tensors of shape
                `(batch_size, sequence_length)`. Optionally `embedding_offset`, float of shape
                `(batch_size, sequence_length, embedding_dim)`, which is added to the embeddings.
            positions: Optional int positions of the tokens, same shape; 0, 1, 2, ... by default.
            attention_mask: Optional mask `(batch_size, sequence_length, sequence_length)`, 1 where
                the row's token may attend to the column's.
            training: Whether dropout is on.

        Returns:
            Hidden vectors, `(batch_size, sequence_length, hidden_dim)`.

        Raises:
            UserError: If `positions`, `attention_mask` or an `embedding_offset` is given for a
                family that runs whole.
        """
        if self.runs_layers:
            hidden = embed(self.backbone, inputs, positions, self.compute_dtype, training)
            for index, layer in enumerate(self.backbone.transformer_layers):
                run = functools.partial(
                    run_layer,
                    layer,
                    padding_mask=inputs["padding_mask"],
                    attention_mask=attention_mask,
                    training=training,
                    attention_chunk=self.attention_chunk,
                )
                again = training and self.gradient_checkpointing
                deeper = run_checkpointed(layer, run, hidden) if again else run(hidden)
                hidden = self._pass_by(index, hidden, deeper) if training else deeper
            return hidden
        if positions is not None or attention_mask is not None or "embedding_offset" in inputs:
            self.require_layers("positions, attention_mask or embedding_offset")
        known = {tensor.name for tensor in self.backbone.inputs}
        outputs = self.backbone(
            {name: tensor for name, tensor in inputs.items() if name in known}, training=training
        )
        return outputs["sequence_output"] if isinstance(outputs, Mapping) else outputs

    def pool(self, sequence_output, padding_mask):
        """Returns one vector a text, `(batch_size, hidden_dim)`.

        `padding_mask` is `(batch_size, sequence_length)`, 1 where the token is real.
        """
        if self.pooling == "pooled":
            return self.backbone.pooled_dense(sequence_output[:, 0, :])
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
        depth = (index + 1) / len(self.backbone.transformer_layers)
        drawn = keras.random.uniform((ops.shape(hidden)[0], 1, 1), seed=self._depth_seeds)
        return ops.where(drawn < self.stochastic_depth * depth, hidden, deeper)
