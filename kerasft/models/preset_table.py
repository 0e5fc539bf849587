"""The presets that make sense here: how large they are, what was measured, which to choose.

A table, so that `kerasft presets` answers at once. A test compares it with KerasHub's own metadata
and with the results of pipelines/README.md.
"""

from __future__ import annotations

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
    """What was measured with a preset: a row of the results in pipelines/README.md.

    Args:
        recipe: The recipe that was run.
        result: Its metric on test, with the 95 % interval.
        examples_per_second: Training speed.
        hardware: What it ran on.
        versions: TensorFlow and Keras.
        date: When, as YYYY-MM-DD.
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
        name: What `model.preset` is set to.
        parameters: Weights of the backbone, its pooling layer included.
        num_layers: Transformer layers.
        lowercase: Whether it reads lower-cased text.
        choose: One sentence: what to choose it for.
        handle: Its place in KerasHub's download cache; `None` for our own.
        measured: What was measured with it here.
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
        """Memory of weights, gradients and optimizer in training; activations come on top."""
        return TRAINING_BYTES_PER_PARAMETER * self.parameters


def list_presets() -> tuple[PresetInfo, ...]:
    """Returns the presets, ours first, then each family from small to large."""
    return _PRESETS


def find_installed(info: PresetInfo) -> Path | str | None:
    """Tells where a preset lies on this machine, without loading it.

    Returns:
        Its folder; a text where it needs none; `None` if its first use would download it.
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


def _bert(name: str, parameters: int, num_layers: int, choose: str, *, cased=False) -> PresetInfo:
    handle = f"keras/bert/keras/{name}/3"
    return PresetInfo(name, parameters, num_layers, not cased, choose, handle)


def _electra(size: str, parameters: int, num_layers: int, choose: str) -> PresetInfo:
    name = f"electra_{size}_discriminator_uncased_en"
    return PresetInfo(name, parameters, num_layers, True, choose, f"keras/electra/keras/{name}/2")


_PRESETS = (
    PresetInfo(
        DEFAULT_PRESET,
        22_713_216,
        6,
        True,
        "Begin here: small enough to train on two CPU cores, and the one that was measured here.",
        measured=(
            Measurement(
                recipe="imdb",
                result="accuracy 0.928 (0.925-0.931)",
                examples_per_second=10.5,
                hardware="2 cores, AMD EPYC, AVX512_BF16, bfloat16",
                versions="TensorFlow 2.20.0, Keras 3.15.1",
                date="2026-11-24",
            ),
            Measurement(
                recipe="imdb_quick",
                result="accuracy 0.885 (0.875-0.894)",
                examples_per_second=17.1,
                hardware="2 cores, AMD EPYC, AVX512_BF16, bfloat16",
                versions="TensorFlow 2.20.0, Keras 3.15.1",
                date="2026-11-25",
            ),
        ),
    ),
    PresetInfo(
        tiny_random.NAME,
        156_480,
        2,
        True,
        "Only to see that data and recipe work: it trains in seconds and knows no language.",
    ),
    _bert(
        "bert_tiny_en_uncased", 4_385_920, 2, "For the fastest answers, where accuracy may suffer."
    ),
    _bert(
        "bert_small_en_uncased", 28_763_648, 4, "Like bert_tiny, with more width: for fast answers."
    ),
    _bert(
        "bert_medium_en_uncased",
        41_373_184,
        8,
        "Between bert_small and bert_base, for a CPU with time.",
    ),
    _bert(
        "bert_base_en_uncased",
        109_482_240,
        12,
        "The usual one, to compare with published figures; for a GPU.",
    ),
    _bert(
        "bert_base_en",
        108_310_272,
        12,
        "bert_base for texts where upper case means something, such as names; for a GPU.",
        cased=True,
    ),
    _bert(
        "bert_large_en_uncased",
        335_141_888,
        24,
        "For the last point of accuracy, with a large GPU; small data may need several seeds.",
    ),
    _bert(
        "bert_large_en",
        333_579_264,
        24,
        "bert_large for texts where upper case means something.",
        cased=True,
    ),
    PresetInfo(
        "distil_bert_base_en_uncased",
        66_362_880,
        6,
        True,
        "Half the layers of bert_base, for faster answers than its own; it has no segments, so "
        "prefer another for pairs.",
        "keras/distil_bert/keras/distil_bert_base_en_uncased/3",
    ),
    _electra(
        "small", 13_548_800, 12, "The smallest that reads in twelve layers, for little memory."
    ),
    _electra(
        "base", 109_482_240, 12, "As large as bert_base, pretrained on every token; for a GPU."
    ),
    _electra("large", 335_141_888, 24, "As large as bert_large, pretrained on every token."),
)
