"""A model of ours behind the server answers as `kerasft predict` does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kerasft.export.saved_model import export_saved_model
from kerasft.models.encoder import Encoder
from kerasft.models.presets import load_preset
from kerasft.serving.predictor import load_predictor
from kerasft.tasks.task import build_task
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.fine_tuner import FineTuner

# Many lengths, so that requests of one batch are padded for each other.
TEXTS = ["A quiet, moving film.", "", "dull", "naïve … 🎬 [SEP] \x00", "so long " * 12, "Good!"] * 4


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of an untrained model's export, with a head that tells texts apart."""
    preset = load_preset("tiny_random", dropout=0.1, dtype="float32")
    task = build_task("single", ("neg", "neutral", "pos"))
    encoder = Encoder(preset.backbone, pooling="mean")
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.1, seed=1)
    head.logits.kernel.assign(30.0 * head.logits.kernel.value)
    preprocessor = WordPiecePreprocessor(preset.vocabulary, sequence_length=48)
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    export_saved_model(
        FineTuner(encoder, head),
        task=task,
        preprocessor=preprocessor,
        folder=folder,
        metadata={},
    )
    return folder


def test_requests_that_are_merged_get_the_answers_of_the_predictor(exported, serving):
    expected = load_predictor(exported).predict(TEXTS)
    scores = [answer["score"] for answer in expected[:6]]
    assert np.ptp(scores) > 1e-3  # control: an answer that went to another text would be seen
    with serving(exported) as server:
        run, sizes = server.embedded._models._models["tiny"].serving.batcher._run, []

        def counting(name, inputs):
            sizes.append(len(inputs["text"]))
            return run(name, inputs)

        server.embedded._models._models["tiny"].serving.batcher._run = counting
        with ThreadPoolExecutor(8) as pool:
            asked = [
                pool.submit(
                    server.post,
                    "tiny:predict",
                    {"signature_name": "serving_default", "instances": [text]},
                )
                for text in TEXTS
            ]
            answers = [one.result() for one in asked]
    assert max(sizes) > 1  # some were computed together
    for (status, answer), wanted in zip(answers, expected, strict=True):
        assert status == 200
        (found,) = answer["predictions"]
        assert found["label"] == wanted["label"]
        probabilities = list(wanted["probabilities"].values())
        assert found["probabilities"] == pytest.approx(probabilities, abs=1e-5)
