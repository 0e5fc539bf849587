"""The client against servers of both protocols: answers, order, labels, versions, headers."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.client import Client, Tls
from kerasft.errors import UserError
from kerasft.export.layout import BATCH_SIZES
from kerasft.serving import windows

TEXTS = ["one", "", "longer", "café"]
AWKWARD = [
    "",
    "\0",
    "a\0b\0",
    "line\nline\r\n",
    "\U0001f600",
    "half \ud83d a pair",
    '"\\',
    "é" * 999,
]


@pytest.fixture(params=["rest", "grpc"])
def protocol(request):
    return request.param


@pytest.mark.parametrize("kind", ["single", "multi", "number"])
def test_answers_are_those_of_the_model(serve, model_of, protocol, kind):
    served = serve(protocol, model_of(kind))
    with Client(served.url()) as client:
        assert client.kind == kind
        assert client.label_names == (() if kind == "number" else ("short", "long"))
        expected = [{"text": text} | served.model.answer(text.encode()) for text in TEXTS]
        assert client.predict(TEXTS) == expected  # floats and all: 1/3 is that of float32
        assert client.predict([]) == []


def test_control_a_third_as_json_writes_it_is_another_number():
    assert float(str(np.float32(1) / np.float32(3))) != float(np.float32(1) / np.float32(3))


def test_pairs(serve, model_of, protocol):
    served = serve(protocol, model_of("number", has_pairs=True))
    with Client(served.url()) as client:
        assert client.has_pairs
        assert client.predict(["one", "a"], ["two", ""]) == [
            {"text": "one", "text_pair": "two", "value": 2.0},
            {"text": "a", "text_pair": "", "value": float(np.float32(1) / np.float32(3))},
        ]
        with pytest.raises(UserError, match=r"reads pairs of texts, and number 1 is a single"):
            client.predict(["one"])


def test_awkward_texts_arrive_byte_for_byte(served):
    with Client(served.url()) as client:
        assert [answer["text"] for answer in client.predict(AWKWARD)] == AWKWARD
    *_, columns = served.model.requests[-1]
    sent = sorted(text.encode("utf-8", "surrogatepass") for text in AWKWARD)
    assert sorted(columns["text"]) == sent


@pytest.mark.parametrize("in_flight", [1, 4])
def test_a_stream_is_answered_in_order_sorted_and_a_few_requests_at_a_time(served, in_flight):
    served.model.pause_seconds = 0.01
    texts = ["x" * (index * 7919 % 503) for index in range(300)]
    with Client(served.url(), batch_size=10, in_flight=in_flight) as client:
        assert [answer["text"] for answer in client.predict_stream(iter(texts))] == texts
    assert min(2, in_flight) <= served.model.most_together <= in_flight
    batches = [columns["text"] for *_, columns in served.model.requests if columns]
    assert max(map(len, batches)) == 10
    padded = sum(len(batch) * max(map(len, batch)) for batch in batches[1:])
    assert padded < 1.5 * sum(map(len, texts))  # unsorted, it would be twice as much


def test_no_request_is_larger_than_an_export_allows_or_four_megabytes(served, monkeypatch):
    monkeypatch.setattr(windows, "BATCH_BYTES", 1000)
    texts = ["é" * (150 + number) for number in range(40)] + ["long " * 300] + ["text"] * 70
    with Client(served.url()) as client:
        assert [answer["text"] for answer in client.predict(texts)] == texts
    batches = [columns["text"] for *_, columns in served.model.requests if columns]
    assert max(map(len, batches)) == BATCH_SIZES[-1] == 32
    sizes = [sum(map(len, batch)) for batch in batches]
    assert max(sizes) == 1500
    assert sorted(sizes)[-2] <= 1000


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, "INVALID_ARGUMENT", "Task size 9 is larger than maximum input batch size 4"),
        (413, "RESOURCE_EXHAUSTED", "Received message larger than max (99 vs. 40)"),
    ],
)
def test_a_request_that_is_too_large_for_the_server_is_sent_in_parts(served, status, code, said):
    fault = served.fault(status, code, said)
    served.model.refuses = lambda columns: fault if columns and len(columns["text"]) > 4 else None
    texts = [f"text {number}" for number in range(100)]
    with Client(served.url(), batch_size=100) as client:
        assert [answer["text"] for answer in client.predict(texts)] == texts


def test_a_text_that_is_too_large_for_the_server(served):
    fault = served.fault(413, "RESOURCE_EXHAUSTED", "larger than max (99 vs. 40)")
    served.model.refuses = lambda columns: (
        fault if columns and b"x" * 40 in columns["text"] else None
    )
    message = (
        r"Text number 4: A text of 0.0 MB is too long.*larger than max .99 vs. 40.*max-body-mb"
    )
    with Client(served.url()) as client, pytest.raises(UserError, match=message):
        client.predict(["a", "b", "c", "x" * 40, "d"])


# --- names of the labels


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_without_classify_nobody_names_the_labels(serve, model_of, protocol, kind):
    served = serve(protocol, model_of(kind, classify=False))
    with Client(served.url()) as client:
        assert client.label_names is None
        (answer,) = client.predict(["longer"])
    expected = {"text": "longer"} | served.model.answer(b"longer")
    several = "probabilities" if kind == "single" else "scores"
    assert answer == expected | {several: list(expected[several].values())}


def test_classes_that_cannot_be_read_are_told(serve):
    served = serve("rest")
    served.model.faults = [None, served.faults.status(200, {"classes": []})]
    with pytest.raises(UserError, match="an answer without results as expected"):
        Client(served.url())


# --- which model


@pytest.mark.parametrize(
    ("suffix", "rest", "grpc"),
    [
        ("", "/v1/models/imdb", "imdb 0"),
        ("/versions/3", "/v1/models/imdb/versions/3", "imdb 3"),
        ("/labels/stable", "/v1/models/imdb/labels/stable", "imdb stable"),
    ],
)
def test_a_version_or_a_label_is_asked_for_each_time(served, suffix, rest, grpc):
    with Client(served.url(suffix)) as client:
        client.predict(["a"])
    asked = [place for place, *_ in served.model.requests]
    ends = ("/metadata", ":classify", ":predict")
    assert asked == ([rest + end for end in ends] if served.protocol == "rest" else [grpc] * 3)


def test_a_model_without_a_text_signature_is_refused_before_it_is_asked(served):
    served.model.signatures["serving_default"] = {
        "inputs": {"input_ids": {"dtype": "DT_INT32", "tensor_shape": {"dim": [{"size": "-1"}]}}},
        "outputs": {"output_0": {"dtype": "DT_FLOAT"}},
    }
    message = (
        r"The model imdb has no text signature that we know\. Received: .*"
        r"serving_default: input_ids DT_INT32 \[-1\] -> \['output_0'\].*"
        r"Expected: serving_default: text DT_STRING \[-1\], for pairs also text_pair.*kerasft exp"
    )
    with pytest.raises(UserError, match=message):
        Client(served.url())
    assert len(served.model.requests) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda signature: signature["inputs"]["text"].update(dtype="DT_INT32"),
        lambda signature: signature["inputs"]["text"]["tensor_shape"].update(dim=[]),
        lambda signature: signature["inputs"].update(more=signature["inputs"]["text"]),
        lambda signature: signature["outputs"].pop("label"),
    ],
)
def test_nearly_a_text_signature_is_none(serve, change):
    served = serve("rest")
    change(served.model.signatures["serving_default"])
    with pytest.raises(UserError, match="no text signature that we know"):
        Client(served.url())


# --- headers


def test_headers_are_sent_each_time_and_never_shown(served):
    headers = {"Authorization": "Bearer s3cret-token", "x-tenant": "blue"}
    with Client(served.url(), headers=headers) as client:
        client.predict(["a"])
        for _, sent, _ in served.model.requests:
            sent = {name.lower(): value for name, value in sent.items()}
            assert (sent["authorization"], sent["x-tenant"]) == ("Bearer s3cret-token", "blue")
        said = "Bearer s3cret-token is none of mine, nor is s3cret-token"
        served.model.faults = [served.fault(401, "UNAUTHENTICATED", said)]
        with pytest.raises(UserError, match=r"does not let us in: \[header\] is none") as caught:
            client.predict(["a"])
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__  # nor does a traceback show it


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "`batch_size` is too small. Received: 0"),
        ({"in_flight": 0}, "`in_flight` is too small. Received: 0"),
        ({"attempts": 0}, "`attempts` is too small. Received: 0"),
        ({"deadline_seconds": 0}, "A request needs time. Received: 0"),
        ({"deadline_seconds": float("nan")}, "A request needs time. Received: nan"),
        ({"headers": {"a b": "c"}}, "A header of this name cannot be sent. Received: 'a b'"),
        ({"headers": {"Content-Type": "x"}}, "A header of this name cannot be sent"),
        ({"headers": {"a": "s3cret\n"}}, "The value of the header a cannot be sent. Expected"),
        ({"tls": Tls("ca.pem")}, "are for an encrypted connection.*https:// or grpcs://"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(UserError, match=message) as caught:
        Client("http://127.0.0.1:1/v1/models/imdb", **options)
    assert "s3cret" not in str(caught.value)
