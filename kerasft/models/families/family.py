"""`Family`: all that kerasft knows of one kind of encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kerasft.models.layer_map import LayerMap


class Converter(NamedTuple):
    """Loads presets in Hugging Face's layout, for a family that KerasHub does not convert.

    Args:
        model_type: As in `config.json`.
        load_tokenizer: From the folder to a `keras_hub.tokenizers.WordPieceTokenizer`.
        load_backbone: From the folder, and arguments that replace the checkpoint's own, to the
            backbone with its weights.
    """

    model_type: str
    load_tokenizer: Callable[[Path], Any]
    load_backbone: Callable[..., Any]


@dataclass(frozen=True)
class Family:
    """A kind of encoder.

    Args:
        name: As people write it.
        backbone: Its class, a `keras_hub.models.Backbone`.
        inputs: The names of the backbone's inputs.
        map_layers: From a backbone to its layers.
        converter: For Hugging Face's layout; `None`: KerasHub's own is used.
    """

    name: str
    backbone: type
    inputs: tuple[str, ...]
    map_layers: Callable[[Any], LayerMap]
    converter: Converter | None = None
