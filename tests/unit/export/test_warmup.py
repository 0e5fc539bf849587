"""Warm-up requests: which they are, and that the model answers them."""

import collections
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.errors import UserError
from kerasft.export import replay
from kerasft.export.layout import BATCH_SIZES, MAX_WARMUP_RECORDS, WARMUP
from kerasft.export.warmup import build_request, sample_texts, write_warmup


def test_each_signature_in_each_batch_size_with_short_and_long_texts(all_exported, warmup_requests):
    exported = all_exported["single pairs"]
    records = warmup_requests(exported.version)
    asked = collections.Counter(
        (signature, len(next(iter(inputs.values())))) for signature, inputs in records
    )
    signatures = ("serving_default", "classify", "tokens", "embed")
    assert set(asked) == {(name, size) for name in signatures for size in BATCH_SIZES}
    assert len(records) <= MAX_WARMUP_RECORDS
    widths = {inputs["token_ids"].shape[1] for name, inputs in records if name == "tokens"}
    assert min(widths) < 15 < 30 < max(widths) <= 48


@pytest.mark.parametrize("name", ["single pairs", "number", "multi", "single windows"])
def test_the_model_answers_them(all_exported, name):
    exported = all_exported[name]
    assert replay.replay(exported.loaded, exported.version / WARMUP) >= 4 * len(BATCH_SIZES)


def test_a_record_names_the_model(all_exported):
    exported = all_exported["number"]
    record = next(iter(tf.data.TFRecordDataset(str(exported.version / WARMUP))))
    spec = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
    assert spec.model_spec.name == "number"


def test_texts_that_somebody_shares_and_nobody_elses(build_parts, warmup_requests, tmp_path):
    preprocessor = build_parts()["preprocessor"]
    count = write_warmup(
        tmp_path,
        "m",
        ["serving_default"],
        preprocessor,
        has_pairs=False,
        texts=[b"shared words", b"caf\xc3\xa9"],
    )
    records = warmup_requests(tmp_path)
    words = {word for _, inputs in records for text in inputs["text"] for word in text.split()}
    assert words == {b"shared", b"words", b"caf\xc3\xa9"}
    assert len(records) == count == 12  # two lengths up to 48 tokens


def test_the_built_in_sample_stands_in():
    own = {text.encode() for text, _ in iterate_builtin_sample("test")}
    assert len(sample_texts()) == 50
    assert set(sample_texts()) <= own


def test_texts_without_a_word(build_parts, tmp_path):
    with pytest.raises(UserError, match=r"hold no word.*2 empty texts"):
        write_warmup(
            tmp_path,
            "m",
            ["serving_default"],
            build_parts()["preprocessor"],
            has_pairs=False,
            texts=[b" ", b"\n"],
        )


def test_a_request_for_no_signature(build_parts):
    with pytest.raises(ValueError, match=r"no such signature.*'other'"):
        build_request("other", [[b"a"]], "m", build_parts()["preprocessor"])


def test_control_an_answer_of_other_length_is_noticed(all_exported):
    exported = all_exported["single"]

    def first_alone(**inputs):
        return {"logits": tf.constant(np.zeros((1, 3), "float32"))}

    short = SimpleNamespace(signatures=dict.fromkeys(exported.loaded.signatures, first_alone))
    with pytest.raises(ValueError, match="answers 2 examples with 1 of logits"):
        replay.replay(short, exported.version / WARMUP)
