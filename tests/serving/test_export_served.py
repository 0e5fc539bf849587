"""A model of ours behind the server answers as `kerasft predict` does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from kerasft.export.layout import RECORD, WARMUP
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.models.encoder import Encoder
from kerasft.models.presets import load_preset
from kerasft.serving.predictor import load_predictor
from kerasft.tasks.task import build_task
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.step.fine_tuner import FineTuner

# Many lengths, so that requests of one batch are padded for each other.
TEXTS = ["A quiet, moving film.", "", "dull", "naïve … 🎬 [SEP] \x00", "so long " * 12, "Good!"] * 4


@pytest.fixture(scope="module")
def exported(tmp_path_factory, making):
    """The folder of an untrained model's export, with a head that tells texts apart."""
    preset = load_preset("tiny_random", dropout=0.1, dtype="float32")
    task = build_task("single", ("neg", "neutral", "pos"))
    encoder = Encoder(preset.backbone, pooling="mean")
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.1, seed=1)
    head.logits.kernel.assign(30.0 * head.logits.kernel.value)
    preprocessor = WordPiecePreprocessor(preset.vocabulary, sequence_length=48)
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    version = export_saved_model(
        FineTuner(encoder, head),
        task=task,
        preprocessor=preprocessor,
        folder=folder,
        metadata={},
        options=ExportOptions(verify=False),  # which has its own tests, and starts a process
    )
    # Every seventh of its many warm-up records is enough here.
    records = tf.data.TFRecordDataset(str(version / WARMUP)).as_numpy_iterator()
    making.write_warmup(version, list(records)[::7])
    (version / RECORD).unlink()  # it holds the checksum of all of them
    return folder


@pytest.fixture(scope="module")
def server(exported, serving):
    with serving(exported) as found:
        yield found


def test_requests_that_are_merged_get_the_answers_of_the_predictor(exported, server, monkeypatch):
    expected = load_predictor(exported).predict(TEXTS)
    scores = [answer["score"] for answer in expected[:6]]
    assert np.ptp(scores) > 1e-3  # control: an answer that went to another text would be seen
    batcher = server.embedded._models._models["tiny"].serving.batcher
    run, sizes = batcher._run, []

    def counting(name, inputs):
        sizes.append(len(inputs["text"]))
        return run(name, inputs)

    monkeypatch.setattr(batcher, "_run", counting)
    with ThreadPoolExecutor(8) as pool:
        bodies = [{"instances": [text]} for text in TEXTS]
        answers = list(pool.map(lambda body: server.post("tiny:predict", body), bodies))
    assert max(sizes) > 1  # some were computed together
    for (status, answer), wanted in zip(answers, expected, strict=True):
        assert status == 200
        (found,) = answer["predictions"]
        assert found["label"] == wanted["label"]
        probabilities = list(wanted["probabilities"].values())
        assert found["probabilities"] == pytest.approx(probabilities, abs=1e-5)


def test_every_signature_of_an_export_answers(exported, server):
    (served,) = server.get("tiny")[1]["model_version_status"]
    assert served["state"] == "AVAILABLE"
    assert any("warmed up with" in line and " 0 " not in line for line in server.lines)
    wanted = load_predictor(exported).predict(TEXTS[:2])
    examples = [{"text": text} for text in TEXTS[:2]]
    body = {"signature_name": "classify", "examples": examples}
    status, answer = server.post("tiny:classify", body)
    assert status == 200
    for result, one in zip(answer["results"], wanted, strict=True):
        assert dict(result) == pytest.approx(one["probabilities"], abs=1e-5)
    signatures = server.get("tiny/metadata")[1]["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "classify", "embed", "tokens"} <= signatures.keys()
    body = {"signature_name": "embed", "instances": TEXTS[:2]}
    status, answer = server.post("tiny:predict", body)
    assert status == 200
    assert {len(row["mean"]) for row in answer["predictions"]} == {
        len(answer["predictions"][0]["pooled"])
    }
    tokens = {name: [[2, 7, 3], [2, 3, 0]] for name in signatures["tokens"]["inputs"]}
    tokens |= {"segment_ids": [[0] * 3] * 2, "padding_mask": [[1, 1, 1], [1, 1, 0]]}
    status, answer = server.post("tiny:predict", {"signature_name": "tokens", "inputs": tokens})
    assert status == 200
    assert len(answer["outputs"]["label"]) == 2
