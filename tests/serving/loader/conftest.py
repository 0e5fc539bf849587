"""The C loader, and a SavedModel of each kind."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from kerasft.export.quantization import compress_weights, dtype_policy_of
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.models.encoder import Encoder
from kerasft.models.presets import load_preset
from kerasft.tasks.task import build_task
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.step.fine_tuner import FineTuner
from tests.conftest import skip

KINDS = {
    "single": {"kind": "single"},
    "multi": {"kind": "multi"},
    "number": {"kind": "number"},
    "pairs": {"kind": "single", "has_pairs": True},
    "int8": {"kind": "single", "quantize": "int8"},
    "bfloat16": {"kind": "single", "quantize": "bfloat16"},
}
LABEL_NAMES = {"single": ("neg", "neutral", "pos"), "multi": ("plot", "cast", "music")}


def _load_module(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def loader():
    """The module that talks to the C loader."""
    return _load_module("loader")


@pytest.fixture(scope="session")
def c_loader(loader, tmp_path_factory):
    """The C loader, compiled."""
    program = loader.build_loader(tmp_path_factory.mktemp("c_loader"))
    return program or skip("needs gcc")


@pytest.fixture(scope="session")
def saved_models(tmp_path_factory):
    """The version folder of a model of each kind, exported when it is first asked for."""
    folder = tmp_path_factory.mktemp("saved_models")

    class Lazily(dict):
        def __missing__(self, name):
            self[name] = _export(folder / name, **KINDS[name])
            return self[name]

    return Lazily()


def _export(folder, *, kind, has_pairs=False, quantize=None):
    preset = load_preset("tiny_random", dtype=dtype_policy_of(quantize))
    task = build_task(kind, LABEL_NAMES.get(kind, ()))
    encoder = Encoder(preset.backbone, pooling="mean")
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.0, seed=1)
    head.logits.kernel.assign(30.0 * head.logits.kernel.value)
    preprocessor = WordPiecePreprocessor(preset.vocabulary, sequence_length=48)
    model = FineTuner(encoder, head)
    compressed = compress_weights(model, quantize) if quantize else ()
    return export_saved_model(
        model,
        task=task,
        preprocessor=preprocessor,
        folder=folder,
        metadata={},
        has_pairs=has_pairs,
        options=ExportOptions(verify=False, compressed=compressed),
    )
