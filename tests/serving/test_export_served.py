"""A model of ours behind the server answers as `kerasft predict` does."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from kerasft.export.layout import RECORD, WARMUP
from kerasft.serving.predictor import load_predictor

# Many lengths, so that requests of one batch are padded for each other.
TEXTS = ["A quiet, moving film.", "", "dull", "naïve … 🎬 [SEP] \x00", "so long " * 12, "Good!"] * 4


@pytest.fixture(scope="module")
def exported(tmp_path_factory, making, export_tiny):
    """The folder of an untrained model's export."""
    folder = tmp_path_factory.mktemp("exported") / "tiny"
    version = export_tiny(folder)
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


IDS, ONES = [[2, 7, 3], [2, 3, 0]], [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize("batching", [True, False])
def test_rows_of_token_ids_must_be_of_one_number_and_width(exported, serving, batching):
    with serving(exported, batching=batching) as server:

        def ask(segment_ids, padding_mask=ONES):
            inputs = {"token_ids": IDS, "segment_ids": segment_ids, "padding_mask": padding_mask}
            body = {"signature_name": "tokens", "inputs": inputs}
            return server.post("tiny:predict", body)

        status, answer = ask([[0] * 3] * 2)
        assert (status, len(answer["outputs"]["label"])) == (200, 2)
        for segment_ids in ([[0] * 3], [[0], [0]], [[0] * 4] * 2, [[0]], [[0], [0, 0]], [[]]):
            status, answer = ask(segment_ids)
            assert (status, *answer) == (400, "error"), segment_ids
        assert ask([[0] * 3] * 2, [[1]])[0] == 400
        rows = [{"token_ids": ids, "segment_ids": [0], "padding_mask": [1] * 3} for ids in IDS]
        status, answer = server.post(
            "tiny:predict", {"signature_name": "tokens", "instances": rows}
        )
        assert (status, "need the same shape" in answer["error"]) == (400, True)
