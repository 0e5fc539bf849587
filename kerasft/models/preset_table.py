"""The recommended presets: size, measurements, and when to choose them.

The table is `preset_table.json`, so that `kerasft presets` is fast. A test compares it with
KerasHub's own metadata and with the results of pipelines/README.md.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
import os
from pathlib import Path
from typing import NamedTuple

from kerasft.models import tiny_random
from kerasft.models.presets import DEFAULT_PRESET, default_preset_candidates

# Float32 and AdamW: the weight, its gradient and the two moments, 4 bytes each.
TRAINING_BYTES_PER_PARAMETER = 16
TRAINING_MEMORY_NOTE = (
    "Training memory: 16 bytes a parameter (float32 weight, gradient and AdamW's two moments). "
    "Activations come on top, and grow with batch_size, tokens, layers and width."
)


class Measurement(NamedTuple):
    """A measurement with a preset: a row of the results in pipelines/README.md.

    Args:
        result: The metric on test, with the 95 % interval.
        examples_per_second: Training speed.
        versions: TensorFlow and Keras.
        date: As YYYY-MM-DD.
    """

    recipe: str
    result: str
    examples_per_second: float
    hardware: str
    versions: str
    date: str


class PresetInfo(NamedTuple):
    """A preset, described.

    Args:
        name: The value of `model.preset`.
        parameters: Parameters of the backbone, its pooling layer included.
        lowercase: Whether it reads lower-cased text.
        choose: One sentence: when to choose it.
        handle: Its place in KerasHub's download cache; `None` for kerasft's own.
    """

    name: str
    parameters: int
    num_layers: int
    lowercase: bool
    choose: str
    handle: str | None = None
    measured: tuple[Measurement, ...] = ()

    @property
    def training_bytes(self) -> int:
        """Memory of weights, gradients and optimizer in training, without activations."""
        return TRAINING_BYTES_PER_PARAMETER * self.parameters


@functools.cache
def list_presets() -> tuple[PresetInfo, ...]:
    """Returns the presets, kerasft's own first, then each family from small to large."""
    table = importlib.resources.files("kerasft.models") / "preset_table.json"
    rows = json.loads(table.read_text(encoding="utf-8"))
    return tuple(
        PresetInfo(**row | {"measured": tuple(Measurement(**m) for m in row.get("measured", ()))})
        for row in rows
    )


def find_installed(info: PresetInfo) -> Path | str | None:
    """Returns a preset's folder on this machine, without loading it.

    A text if it needs no folder; `None` if its first use would download it.
    """
    if info.name == tiny_random.NAME:
        return "inside the package"
    if info.name == DEFAULT_PRESET:
        folders, weights = default_preset_candidates(), "model.safetensors"
    else:
        folders, weights = [_kaggle_cache() / "models" / info.handle], "model.weights.h5"
    return next((folder for folder in folders if (folder / weights).is_file()), None)


def _kaggle_cache() -> Path:
    """The folder that KerasHub downloads into, through kagglehub."""
    named = os.environ.get("KAGGLEHUB_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "kagglehub"
