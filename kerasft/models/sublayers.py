"""Replaces the matrices inside a transformer layer, such as by adapters.

A layer that keras_hub calls by its attribute can be replaced: the new layer owns the old one, and
the parent calls the new one. The paths to a layer's parts are in `kerasft.models.private`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import keras

from kerasft.errors import UserError
from kerasft.models.private import replace_sublayer


class Place(NamedTuple):
    """The position of a layer: its `parent`, and the parent's `attribute`."""

    parent: keras.layers.Layer
    attribute: str

    @property
    def layer(self) -> keras.layers.Layer:
        """The layer that is there now."""
        return getattr(self.parent, self.attribute)

    def put(self, layer: keras.layers.Layer) -> None:
        """Replaces the layer, at the same position in all lists.

        `layer` is not built yet, or is the original. It is built here under the name scope of the
        parent, so that the paths of its variables show their place.
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
        paths: From a transformer layer to the layer to find, attribute by attribute.
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
