"""The matrices inside a transformer layer, and how a layer of ours takes the place of one.

A layer that keras_hub calls by its attribute can be stood in for: ours owns it, and its parent
calls ours. The paths to the parts of a layer are those of `kerasft.models.private`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import keras

from kerasft.errors import UserError
from kerasft.models.private import replace_sublayer


class Place(NamedTuple):
    """Where a layer is kept by the one above it.

    Args:
        parent: The layer above.
        attribute: Its attribute.
    """

    parent: keras.layers.Layer
    attribute: str

    @property
    def layer(self) -> keras.layers.Layer:
        """The layer that is there now."""
        return getattr(self.parent, self.attribute)

    def put(self, layer: keras.layers.Layer) -> None:
        """Puts a layer where another one is now; in all lists it comes to the same position.

        Args:
            layer: Not built yet, or built: one that was there before. It is built here under the
                name scope of the parent, so that the paths of its variables say where they belong.
        """
        if not layer.built:
            above, _, name = self.parent.path.rpartition("/")
            with keras.name_scope(name, override_parent=above):
                layer.build()
        replace_sublayer(self.parent, self.attribute, layer)


def find_places(encoder, paths: Iterable[tuple[str, ...]], *, what: str) -> list[Place]:
    """Finds layers inside every transformer layer of an encoder, from the lowest one up.

    Args:
        encoder: A `kerasft.models.encoder.Encoder`.
        paths: From a transformer layer to the one that is looked for, attribute by attribute.
        what: What needs them, for the message, such as a recipe's setting.

    Raises:
        UserError: The layers of this family are not known.
    """
    encoder.require_layers(what)
    paths = tuple(paths)
    places = []
    for layer in encoder.backbone.transformer_layers:
        for *above, attribute in paths:
            parent = layer
            for name in above:
                parent = getattr(parent, name, None)
            if not isinstance(getattr(parent, attribute, None), keras.layers.Layer):
                raise UserError(
                    f"{type(encoder.backbone).__name__} has layers of a kind that is not known: "
                    f"{type(layer).__name__} has no {'.'.join((*above, attribute))}.",
                    received=what,
                    expected="a preset of the BERT family, whose layers are keras_hub's "
                    "TransformerEncoder",
                )
            places.append(Place(parent, attribute))
    return places
