"""A small model that is ready to be exported."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from kerasft.evaluation.forward import build_forward
from kerasft.export import replay, saved_model
from kerasft.export.layout import WARMUP
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.models.encoder import Encoder
from kerasft.models.presets import load_preset
from kerasft.tasks.task import build_task
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.step.fine_tuner import FineTuner

LABEL_NAMES = {"single": ("neg", "neutral", "pos"), "multi": ("plot", "cast", "music")}
SETTINGS = {"multi": {"thresholds": (0.2, 0.5, 0.8)}, "number": {"value_range": (3.0, None)}}


def _build_parts(kind="single", *, dtype="float32", windows=False, has_pairs=False):
    """What a trained run hands to the export, with a head that tells texts apart."""
    preset = load_preset("tiny_random", dropout=0.5, dtype=dtype)
    task = build_task(kind, LABEL_NAMES.get(kind, ()), **SETTINGS.get(kind, {}))
    encoder = Encoder(preset.backbone, pooling="mean")
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.5, seed=1)
    head.logits.kernel.assign(30.0 * head.logits.kernel.value)
    length, truncation = (16, "windows") if windows else (48, "head_tail")
    preprocessor = WordPiecePreprocessor(
        preset.vocabulary, sequence_length=length, truncation=truncation
    )
    model = FineTuner(encoder, head, window_length=length if windows else None)
    parts = {"model": model, "task": task, "preprocessor": preprocessor}
    parts["options"] = ExportOptions(verify=False)  # a process of its own is dear
    return parts | ({"has_pairs": True} if has_pairs else {})


@pytest.fixture(scope="session")
def build_parts():
    return _build_parts


@pytest.fixture(scope="session")
def parts():
    return _build_parts()


TEXTS = [
    "A quiet, moving film.",
    "",
    "nul \0 nul",
    "bad plot " * 5000,
    "café 中文 <br /> [SEP]",
    "a",
]
PAIRS = ["Nobody moves.", "", "what a plot", "a", "good music " * 30, ""]
VARIANTS = {
    "single": {"kind": "single"},
    "single pairs": {"kind": "single", "has_pairs": True},
    "multi": {"kind": "multi"},
    "number": {"kind": "number"},
    "number pairs": {"kind": "number", "has_pairs": True},
    "single windows": {"kind": "single", "windows": True},
}


class Exported:
    """A model of a kind, as it was before and after its export."""

    def __init__(self, name, parts, folder):
        self.name, self.parts, self.kind = name, parts, name.split()[0]
        self.has_pairs = "pairs" in name
        self.version = export_saved_model(
            **parts, folder=folder, metadata={"preset": "tiny_random"}
        )
        self.loaded = tf.saved_model.load(str(self.version))
        self.texts = [TEXTS, PAIRS] if self.has_pairs else [TEXTS]

    def before(self, *texts):
        """What evaluation computes: a wider batch, one function for all lengths."""
        inputs = self.parts["preprocessor"](*texts)
        wider = {name: tf.pad(rows, [[0, 0], [0, 5]]) for name, rows in inputs.items()}
        logits = build_forward(self.parts["model"])(wider)
        return {k: v.numpy() for k, v in self.parts["task"].decode(logits).items()}

    def after(self, *texts):
        names = ("text", "text_pair")[: len(texts)]
        inputs = {n: tf.constant(t, tf.string) for n, t in zip(names, texts, strict=True)}
        outputs = self.loaded.signatures["serving_default"](**inputs)
        return {name: tensor.numpy() for name, tensor in outputs.items()}


@pytest.fixture(scope="session")
def all_exported(build_parts, tmp_path_factory):
    """Each variant of `VARIANTS` by its name, exported when it is first asked for."""
    folder = tmp_path_factory.mktemp("saved_models")

    class Lazily(dict):
        def __missing__(self, name):
            parts = build_parts(**VARIANTS[name])
            self[name] = Exported(name, parts, folder / name.replace(" ", "_"))
            return self[name]

    return Lazily()


@pytest.fixture(params=VARIANTS)
def exported(request, all_exported):
    return all_exported[request.param]


@pytest.fixture(scope="session")
def warmup_requests():
    """Reads the warm-up of a version: each request's signature and inputs."""

    def read(version):
        records = tf.data.TFRecordDataset(str(version / WARMUP)).as_numpy_iterator()
        return [replay.request_of(PredictionLog.FromString(record)) for record in records]

    return read


@pytest.fixture
def quick_save(monkeypatch):
    """Writes a file where a SavedModel would be, so that only the folders are at stake."""

    def save(_, path, signatures):
        (Path(path) / "saved_model.pb").write_bytes(b"graph")

    servable = SimpleNamespace(model_variables=[])
    monkeypatch.setattr(saved_model, "_build_servable", lambda *_, **__: (servable, {}))
    monkeypatch.setattr(saved_model, "write_warmup", lambda *_, **__: 0)
    monkeypatch.setattr(saved_model, "_check_ops", lambda _: "2.12.1")
    module = SimpleNamespace(save=save)
    monkeypatch.setattr(saved_model.tf, "saved_model", module)
    return module
