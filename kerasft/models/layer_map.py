"""`LayerMap`: the layers of a backbone by their role, from the embeddings up.

All that needs single layers (adapters, freezing, layer-wise rates, checkpointing, dropouts) asks
it, and knows no attribute of a backbone. `kerasft.models.families` has the map of each family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.models.private import replace_sublayer


class Place(NamedTuple):
    """The position of a layer: its `parent`, which calls it, and the parent's `attribute`."""

    parent: keras.layers.Layer
    attribute: str

    @property
    def layer(self) -> keras.layers.Layer:
        """The layer that is there now."""
        return getattr(self.parent, self.attribute)

    def put(self, layer: keras.layers.Layer) -> None:
        """Replaces the layer, such as by an adapter that owns it; same position in all lists.

        `layer` is not built yet, or is the original. It is built here under the name scope of the
        parent, so that the paths of its variables show their place.
        """
        if not layer.built:
            above, _, name = self.parent.path.rpartition("/")
            with keras.name_scope(name, override_parent=above):
                layer.build()
        replace_sublayer(self.parent, self.attribute, layer)


@dataclass(frozen=True)
class BlockContext:
    """What a block reads besides the hidden vectors.

    Args:
        padding_mask: `(batch_size, sequence_length)`, 1 where the token is real.
        attention_mask: Optional, `(batch_size, sequence_length, sequence_length)`, 1 where the
            row's token may attend to the column's.
        attention_chunk: Queries computed at once (`kerasft.models.fast.attention`); 0 is all.
    """

    padding_mask: tf.Tensor
    attention_mask: tf.Tensor | None = None
    attention_chunk: int = 0


@dataclass(frozen=True)
class Embeddings:
    """The lowest part: from token ids to hidden vectors.

    Args:
        run: `run(inputs, positions, dtype, training)` returns hidden vectors of `dtype`,
            `(batch_size, sequence_length, hidden_dim)`. `inputs` are the family's, optionally with
            `embedding_offset`, float `(batch_size, sequence_length, embedding_dim)`, which is added
            to the embeddings; `positions` are int, or `None` for 0, 1, 2, ...
        layers: Its layers with weights.
        tables: Its embedding tables; `run` reads them in float32.
        dropouts: Its dropouts.
        norms: Its normalizations.
    """

    run: Callable[[Mapping[str, tf.Tensor], tf.Tensor | None, str, bool | None], tf.Tensor]
    layers: tuple[keras.layers.Layer, ...]
    tables: tuple[keras.Variable, ...]
    dropouts: tuple[keras.layers.Dropout, ...] = ()
    norms: tuple[keras.layers.LayerNormalization, ...] = ()


@dataclass(frozen=True)
class Block:
    """A transformer layer.

    Args:
        run: `run(hidden, *, context, training)` returns hidden vectors of the same shape and type.
            It calls the layers that are in `linears` at that time.
        layers: All its layers, or those that hold them.
        linears: Its matrices by role: `query`, `key`, `value` and `output` of the attention, `up`
            and `down` of the feed-forward network. An adapter can be put into each place.
        attention_dropouts: The dropouts of attention weights.
        dropouts: All others.
        norms: Its normalizations.
    """

    run: Callable[..., tf.Tensor]
    layers: tuple[keras.layers.Layer, ...]
    linears: Mapping[str, Place]
    attention_dropouts: tuple[keras.layers.Dropout, ...] = ()
    dropouts: tuple[keras.layers.Dropout, ...] = ()
    norms: tuple[keras.layers.LayerNormalization, ...] = ()


@dataclass(frozen=True)
class LayerMap:
    """The layers of a backbone.

    Args:
        token_table: The layer that owns the token embeddings.
        embeddings: From token ids to hidden vectors.
        blocks: The transformer layers, from the lowest up.
        final_norm: Normalizes the top block's output; `None`: nothing does.
        pooler: A pretrained layer from the first token's hidden vector to one of the whole text.
        unused: Layers of the backbone that nothing calls.
    """

    token_table: keras.layers.Embedding
    embeddings: Embeddings
    blocks: tuple[Block, ...]
    final_norm: keras.layers.LayerNormalization | None = None
    pooler: keras.layers.Layer | None = None
    unused: tuple[keras.layers.Layer, ...] = ()

    @property
    def norms(self) -> list[keras.layers.LayerNormalization]:
        """All normalizations."""
        final = [] if self.final_norm is None else [self.final_norm]
        return [*self.embeddings.norms, *(n for block in self.blocks for n in block.norms), *final]


def find_places(encoder, roles: Sequence[str], *, what: str) -> list[Place]:
    """Returns the places of the linear layers with these roles, block by block from the lowest.

    Args:
        encoder: A `kerasft.models.encoder.Encoder`.
        roles: Of `Block.linears`.
        what: What needs them, for the message, such as a recipe's setting.

    Raises:
        UserError: A block has no such layer.
    """
    blocks = encoder.layer_map.blocks
    for role in roles:
        if not all(role in block.linears for block in blocks):
            raise UserError(
                f'{encoder.family.name} has no separate "{role}" matrix in its layers.',
                received=what,
                expected=f"{', '.join(blocks[0].linears)}",
            )
    return [block.linears[role] for block in blocks for role in roles]
