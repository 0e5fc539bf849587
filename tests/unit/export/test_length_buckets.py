"""Requests as wide as the first bucket that holds them: same answers, few widths, all warmed up."""

import collections
import contextlib
import dataclasses
import itertools
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.export.layout import BATCH_SIZES, RECORD
from kerasft.export.length_buckets import MOST_BUCKETS, check_length_buckets, widen
from kerasft.export.saved_model import export_saved_model
from kerasft.export.signatures import trace_signatures

ASKED = (8, 20)
BUCKETS = (8, 20, 48)  # the parts' model reads 48 tokens
TEXTS = ["a film", "one two three four five six seven eight", "bad plot " * 40, "", "nul \0 nul"]


@pytest.fixture(scope="module", params=[False, True], ids=["texts", "pairs"])
def both(request, build_parts, tmp_path_factory):
    """A model exported with buckets and without, each loaded again."""
    parts = build_parts(has_pairs=request.param)
    found = []
    for buckets in (ASKED, ()):
        parts["options"] = dataclasses.replace(parts["options"], length_buckets=buckets)
        folder = tmp_path_factory.mktemp("models") / "m"
        version = export_saved_model(**parts, folder=folder, metadata={})
        found.append((version, tf.saved_model.load(str(version))))
    names = ("text", "text_pair")[: 2 if request.param else 1]
    return SimpleNamespace(bucketed=found[0], plain=found[1], names=names)


@pytest.mark.parametrize("signature", ["serving_default", "embed"])
def test_the_answers_are_those_without_buckets(both, signature):
    batches = [TEXTS, TEXTS[:1], TEXTS[2:3], []]
    for texts in batches:
        inputs = {name: tf.constant(texts, tf.string) for name in both.names}
        with_buckets, without = (
            loaded.signatures[signature](**inputs) for _, loaded in (both.bucketed, both.plain)
        )
        assert sorted(with_buckets) == sorted(without)
        for name, values in without.items():
            if values.dtype.is_floating:
                np.testing.assert_allclose(with_buckets[name], values, atol=1e-5)
            else:
                np.testing.assert_array_equal(with_buckets[name], values)


def test_the_record_says_which(both):
    buckets = [
        json.loads((version / RECORD).read_text())["length_buckets"]
        for version, _ in (both.bucketed, both.plain)
    ]
    assert buckets == [list(BUCKETS), []]


def test_the_warm_up_asks_for_every_batch_size_at_every_width(both, warmup_requests):
    def warmed_up(version):
        """How often each batch size and width is asked, by the requests that hold tokens."""
        asked = (inputs for name, inputs in warmup_requests(version) if name == "tokens")
        return collections.Counter(inputs["token_ids"].shape for inputs in asked)

    version, _ = both.bucketed
    assert warmed_up(version) == dict.fromkeys(itertools.product(BATCH_SIZES, BUCKETS), 1)
    version, _ = both.plain  # control
    assert {width for _, width in warmed_up(version)}.isdisjoint(BUCKETS[:2])


def test_the_model_sees_no_other_width(build_parts):
    """A model that answers with the width that it sees, asked by text and by tokens."""
    parts = build_parts()

    def model(inputs, training):
        return tf.tile(tf.shape(inputs["token_ids"])[1:], tf.shape(inputs["token_ids"])[:1])

    graphs = trace_signatures(
        model,
        SimpleNamespace(decode=lambda widths: {"width": widths}, label_names=("a", "b")),
        parts["preprocessor"],
        has_pairs=False,
        names=("serving_default", "tokens"),
        weights=contextlib.nullcontext,
        buckets=BUCKETS,
    )

    def seen(*texts):
        return graphs["serving_default"](text=tf.constant(texts))["width"].numpy().tolist()

    assert seen("a") == [8]
    assert seen("a . . . . . .") == [20]  # nine tokens with the special ones
    assert seen("a", ". " * 400) == [48, 48]
    for width, bucket in ((0, 8), (8, 8), (9, 20), (48, 48), (50, 50)):
        row = tf.ones([1, width], tf.int32)
        answer = graphs["tokens"](token_ids=row, segment_ids=row, padding_mask=row)
        assert answer["width"].numpy().tolist() == [bucket]


def test_what_is_added_is_padding():
    row = tf.constant([[2, 5, 3]])
    inputs = {"token_ids": row, "segment_ids": row, "padding_mask": tf.ones_like(row)}
    widened = {name: tensor.numpy().tolist() for name, tensor in widen(inputs, (5,), 9).items()}
    assert widened == {
        "token_ids": [[2, 5, 3, 9, 9]],
        "segment_ids": [[2, 5, 3, 0, 0]],
        "padding_mask": [[1, 1, 1, 0, 0]],
    }


@pytest.mark.parametrize(
    "lengths", [(20, 8), (8, 8), (3, 20), (8, 49), (-8,), tuple(range(4, 5 + MOST_BUCKETS))]
)
def test_what_cannot_be_a_bucket_is_refused_with_what_can(parts, lengths):
    with pytest.raises(UserError, match=r"ascending numbers of tokens from 4 to 48.*12,24,48"):
        check_length_buckets(lengths, parts["preprocessor"])


def test_what_can_is_taken_and_ends_with_the_models_own_length(parts):
    assert check_length_buckets((), parts["preprocessor"]) == ()
    assert check_length_buckets(ASKED, parts["preprocessor"]) == BUCKETS
    assert check_length_buckets(BUCKETS, parts["preprocessor"]) == BUCKETS


def test_windows_have_none(build_parts, tmp_path):
    parts = build_parts(windows=True)
    parts["options"] = dataclasses.replace(parts["options"], length_buckets=(8,))
    with pytest.raises(UserError, match=r"windows has no length buckets.*--length-buckets 8"):
        export_saved_model(**parts, folder=tmp_path / "m", metadata={})
    assert not (tmp_path / "m").exists()
