"""A small model that is ready to be exported."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from kerasft.export import saved_model
from kerasft.models.encoder import Encoder
from kerasft.models.presets import load_preset
from kerasft.tasks.classification import Classification
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.fine_tuner import FineTuner


def _build_parts(dtype="float32"):
    """What a trained run hands to the export, with a head that tells texts apart."""
    preset = load_preset("tiny_random", dropout=0.5, dtype=dtype)
    task = Classification(["neg", "neutral", "pos"])
    encoder = Encoder(preset.backbone, pooling="mean")
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.5, seed=1)
    head.logits.kernel.assign(30.0 * head.logits.kernel.value)
    preprocessor = WordPiecePreprocessor(preset.vocabulary, sequence_length=48)
    return {"model": FineTuner(encoder, head), "task": task, "preprocessor": preprocessor}


@pytest.fixture(scope="session")
def build_parts():
    return _build_parts


@pytest.fixture(scope="session")
def parts():
    return _build_parts()


@pytest.fixture
def quick_save(monkeypatch):
    """Writes a file where a SavedModel would be, so that only the folders are at stake."""

    def save(_, path, signatures):
        (Path(path) / "saved_model.pb").write_bytes(b"graph")

    module = SimpleNamespace(save=save)
    monkeypatch.setattr(saved_model.tf, "saved_model", module)
    return module
