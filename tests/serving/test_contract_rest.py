"""REST as TensorFlow Serving has it: its bodies and its codes. The messages are our own.

Runs against the real server where KERASFT_TF_SERVING names one: see make_models.py.
"""

from __future__ import annotations

import gzip
import json
import math
import time

import numpy as np
import pytest

from kerasft.serving.server.calls import Call, check_outputs
from kerasft.serving.server.settings import MOST_VALUES
from kerasft.serving.server.status import ServingError

TEXTS = ["", "four", "a longer text", "naïve"]
LENGTHS = [len(text.encode()) for text in TEXTS]


def test_rows_get_a_prediction_each(predict):
    status, answer = predict({"instances": TEXTS})
    assert status == 200
    assert [row["length"] for row in answer["predictions"]] == LENGTHS
    assert [row["label"] for row in answer["predictions"]] == ["short", "long", "long", "long"]
    assert answer["predictions"][1]["probabilities"] == pytest.approx([0.2, 0.8])


def test_columns_get_columns(predict):
    status, answer = predict({"inputs": {"text": TEXTS}})
    assert status == 200
    assert answer["outputs"]["length"] == LENGTHS
    assert predict({"inputs": TEXTS}) == (200, answer)  # a single input needs no name
    assert predict({"signature_name": "serving_default", "inputs": TEXTS}) == (200, answer)


BASE64 = ["Zm91cg==", "Zm91\ncg==", " Zm 91\tcg = =\r\n", "Zm91cg"]


def test_rows_may_name_their_input_and_be_base64(predict):
    plain = predict({"instances": ["four"]})
    assert predict({"instances": [{"text": "four"}]}) == plain
    assert predict({"instances": [{"text": {"b64": "Zm91cg=="}}]}) == plain
    for encoded in BASE64:
        assert predict({"instances": [{"b64": encoded}]}) == plain
    assert predict({"instances": ["other!"]}) != plain


def test_a_single_output_loses_its_name(contract):
    body = {"signature_name": "double", "instances": [[1, 2.5], [0.1, -3]]}
    status, answer = contract.post("demo:predict", body)
    assert status == 200
    assert answer["predictions"] == [[2.0, 5.0], [0.2, -6.0]]
    columns = {"signature_name": "double", "inputs": {"x": [[1, 2.5]]}}
    assert contract.post("demo:predict", columns) == (200, {"outputs": [[2.0, 5.0]]})


def test_numbers_have_the_digits_of_float32(contract):
    body = {"signature_name": "double", "instances": [[0.1, 1 / 3], [1e-20, 1e30]]}
    rows = contract.post("demo:predict", body)[1]["predictions"]
    # A double would show 0.20000000298023224.
    assert len(str(rows[0][0])) < len("0.20000000298")
    assert np.array(rows, np.float32).tolist() == (2 * np.array(body["instances"], "f")).tolist()


def test_several_inputs_and_bytes(contract):
    row = {"text": "a", "number": 3}
    body = {"signature_name": "several", "instances": [row]}
    found = {"reversed_bytes": {"b64": "Yf8="}, "next": 4}
    assert contract.post("demo:predict", body) == (200, {"predictions": [found]})
    columns = {"signature_name": "several", "inputs": {"text": ["a"], "number": [3]}}
    expected = {"outputs": {"reversed_bytes": [{"b64": "Yf8="}], "next": [4]}}
    assert contract.post("demo:predict", columns) == (200, expected)


def test_nan_and_infinity_go_in_and_out(contract):
    body = b'{"signature_name": "inverse", "instances": [0.0, -0.0, NaN, Infinity, 2]}'
    status, answer = contract.post("demo:predict", body)
    assert status == 200
    first, second, third, *rest = answer["predictions"]
    assert (first, second, rest) == (math.inf, -math.inf, [0.0, 0.5])
    assert math.isnan(third)


@pytest.mark.parametrize(
    ("text", "length"),
    [(b"a\xffb", 3), (b"\\u0000", 1), (b"\\ud83d\\ude00", 4), ("ﬃ…".encode(), 6)],
)
def test_texts_keep_their_bytes(predict, text, length):
    status, answer = predict(b'{"instances": ["' + text + b'"]}')
    assert status == 200
    assert answer["predictions"][0]["length"] == length


def test_classify_labels_examples(contract):
    body = {"signature_name": "classify", "examples": [{"text": "four"}, {"text": ["x"]}]}
    status, answer = contract.post("demo:classify", body)
    assert status == 200
    (short, long), (_, half) = answer["results"]
    assert short == ["short", pytest.approx(0.2)]
    assert long == ["long", pytest.approx(0.8)]
    assert half == ["long", pytest.approx(0.5)]


def test_regress_gives_numbers(contract):
    body = {"signature_name": "regress", "examples": [{"text": "four"}, {"text": ""}]}
    assert contract.post("demo:regress", body) == (200, {"results": [4.0, 0.0]})


def test_status(contract):
    version = {
        "version": "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    expected = (200, {"model_version_status": [version]})
    assert contract.get("demo") == expected
    assert contract.get("demo/versions/1") == expected


def test_metadata(contract):
    status, answer = contract.get("demo/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "demo", "signature_name": "", "version": "1"}
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert {"serving_default", "classify", "regress", "double"} <= signatures.keys()
    text = signatures["serving_default"]["inputs"]["text"]
    assert text["dtype"] == "DT_STRING"
    assert text["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signatures["double"]["method_name"] == "tensorflow/serving/predict"
    assert contract.get("demo/versions/1/metadata") == (200, answer)


@pytest.mark.parametrize("name", ["demo/versions/1", "demo/versions/001", "d%65mo"])
def test_a_version_can_be_asked_and_a_name_be_quoted(contract, predict, name):
    body = {"instances": TEXTS}
    assert contract.post(f"{name}:predict", body) == predict(body)


def rows(*instances, **more):
    return {"instances": [*instances], **more}


def several(**columns):
    return {"signature_name": "several", "inputs": columns}


def doubled(*columns):
    return {"signature_name": "double", "inputs": [*columns]}


def examples(found, signature_name="classify"):
    return {"signature_name": signature_name, "examples": found}


HALF = "half of a surrogate pair"
UNEQUAL = "lists of unequal length"
MANY = MOST_VALUES + 1
WRONG_BODIES = [  # for demo:predict; all are 400
    (b"", "The body is not JSON"),
    (b'{"instances": ["a"]', "The body is not JSON"),
    (b'{} {"instances": []}', "The body is not JSON"),
    (b'{"instances": [' + b"9" * 5000 + b"]}", "The body is not JSON"),
    (b'{"instances": ["\\ud83d"]}', HALF),
    (b'{"instances": [{"te\\ud83dxt": "a"}]}', HALF),
    (b'{"instances": ["a"], "\\ud83d": 1}', HALF),
    (b'{"signature_name": "\\ud83d", "instances": ["a"]}', HALF),
    ([1], "must be a JSON object"),
    ({"texts": ["a"]}, "either 'instances' or 'inputs'"),
    (rows("a", inputs=["a"]), "either 'instances' or 'inputs'"),
    ({"instances": "a"}, "must be a list of at least one row"),
    (rows(), "must be a list of at least one row"),
    (rows("a", signature_name="nope"), "No signature 'nope', but classify, double"),
    (rows("a", signature_name=1), "signature_name must be a string"),
    (rows(1), "Expected a text, not 1"),
    (rows("a", ["b"]), ""),
    (rows(["a"]), "Input text has the shape [1, 1], expected [None]"),
    (rows({"text": "a", "nope": "b"}), "The inputs must be text, not nope, text"),
    (rows({"text": "a"}, "b"), "Row 1 has not the same inputs as row 0"),
    (rows({"text": "a"}, {"nope": "b"}), "Row 1 has not the same inputs as row 0"),
    (rows({"b64": "%%%"}), "not base64"),
    (rows({"b64": "é"}), "not base64"),
    (rows("a", signature_name="several"), "Name the inputs: number, text"),
    (rows({"text": "a"}, signature_name="several"), "must be number, text, not text"),
    (rows(*["a"] * 65), "Task size 65 is larger than maximum input batch size 64"),
    ({"inputs": ["a"] * 65}, "Task size 65 is larger than maximum input batch size 64"),
    ({"inputs": {"nope": ["a"]}}, "The inputs must be text, not nope"),
    ({"inputs": "scalar"}, "has the shape [], expected [None]"),
    (doubled([1, 2], [3]), UNEQUAL),
    (doubled([1, 2], 3), UNEQUAL),
    (doubled([1, 2], [3, [4]]), "takes float32, not [4]"),
    (doubled([0] * 100_000), "has the shape [1, 100000], expected [None, 2]"),
    (doubled(["a", "b"]), "takes float32, not 'a'"),
    (doubled([True, 1]), "takes float32, not True"),
    (doubled([1e300, 1]), "takes float32, not overflow"),
    (doubled([10**400, 1]), "takes float32, not int too large"),
    (several(text=["a"], number=[1.5]), "Input number takes int64, not 1.5"),
    (several(text=["a"], number=[2**63]), "Input number takes int64"),
    (several(text=["a"], number=[1, 2]), "All inputs need the same number of rows"),
    (b'{"inputs": ' + b"[" * 300 + b'"a"' + b"]" * 300 + b"}", "Input text has the shape"),
    (b'{"instances": ' + b"[" * 9000 + b'"a"' + b"]" * 9000 + b"}", "nested too deeply"),
    # What would take much time and memory if it were built.
    (b'{"instances": [' + b'"",' * MANY + b'""]}', "more than 1000000 values"),
    (b'{"inputs": {"text": [' + b"{}," * MANY + b"{}]}}", "more than 1000000 values"),
    (b'{"instances": ["a"], "x": {' + b'"":1,' * MANY + b'"":1}}', "more than 1000000 values"),
]
WRONG_EXAMPLES = [  # for demo:classify; all are 400
    ({"signature_name": "classify"}, "'examples' must be a list"),
    (examples([]), "'examples' must be a list"),
    (examples([{}] * 65), "Task size 65 is larger"),
    (examples([{}]) | {"context": {"text": "a"}}, "A context is not supported"),
    (examples(["a"]), "An example must be an object, not 'a'"),
    (examples([{"text": None}]), "A feature takes texts, integers or floats"),
    (examples([{"text": ["a", 1]}]), "Expected a text, not 1"),
    (examples([{"text": [1, 1.5]}]), "of one type"),
    (examples([{"text": 2**63}]), "A feature takes"),
    (examples([{"text": 7}]), "Data types don't match. Data type: int64 but expected type: string"),
    (examples([{"text": "a"}], "nope"), "No signature 'nope'"),
    ({"examples": [{"text": "a"}]}, "The signature serving_default is not for classify"),
]
WRONG_PLACES = [
    ("nope:predict", 404, "There is no model nope."),
    ("demo/versions/9:predict", 404, "There is no model demo version 9."),
    ("demo/labels/stable:predict", 400, "There are no labels here, so no version stable."),
    (f"demo/versions/{'9' * 20}:predict", 400, "A version is at most"),
    (f"demo/versions/{'9' * 5000}:predict", 400, "A version is at most"),
    ("demo:guess", 400, "There is no POST /v1/models/demo:guess."),
]
ERRORS = [
    *(("demo:predict", body, 400, message) for body, message in WRONG_BODIES),
    *(("demo:classify", body, 400, message) for body, message in WRONG_EXAMPLES),
    ("demo:regress", {"examples": [{"text": "a"}]}, 400, "is not for regress"),
    *((path, rows("a"), status, message) for path, status, message in WRONG_PLACES),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"), ERRORS, ids=[str(i) for i in range(len(ERRORS))]
)
def test_a_wrong_request_gets_code_and_message(contract, path, body, status, message):
    start = time.monotonic()
    found, answer = contract.post(path, body)
    assert time.monotonic() - start < 3
    assert found == status
    assert answer.keys() == {"error"}
    assert message in answer["error"] or contract.is_real


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/nope", 404, "There is no model nope."),
        ("GET", "/v1/models/demo/versions/9", 404, "There is no model demo version 9."),
        ("GET", "/v1/models/nope/metadata", 404, "There is no model nope."),
        ("GET", "/v1/models", 400, "There is no GET /v1/models."),
        ("GET", "/v1/models/demo:predict", 400, "There is no GET /v1/models/demo:predict."),
        ("GET", "/v1/foo", 400, "There is no GET /v1/foo."),
        ("PUT", "/v1/models/demo", 400, "There is no PUT /v1/models/demo."),
    ],
)
def test_a_wrong_address_gets_code_and_message(contract, method, path, status, message):
    found, answer = contract.ask(method, path)
    assert found == status
    assert answer == {"error": message} or contract.is_real


def test_another_address_is_not_found(contract):
    answer = contract.pool.request("GET", f"http://{contract.rest}/index.html")
    assert answer.status == 404


def test_no_examples_in_columns_get_no_answers(predict):
    status, answer = predict({"inputs": {"text": []}})
    assert status == 200
    assert answer["outputs"]["label"] == []


def test_a_body_may_be_packed_or_begin_with_a_byte_order_mark(contract, predict):
    body = {"instances": TEXTS}
    plain = json.dumps(body).encode()
    headers = {"Content-Encoding": "gzip"}
    assert contract.post("demo:predict", gzip.compress(plain), headers=headers) == predict(body)
    assert predict(b"\xef\xbb\xbf" + plain) == predict(body)


@pytest.mark.parametrize(
    ("method", "outputs"),
    [
        ("regress", {"outputs": np.float32(1)}),
        ("regress", {"outputs": np.zeros([2, 2], np.float32)}),
        ("regress", {"outputs": np.zeros(3, np.float32)}),
        ("regress", {"outputs": np.zeros(2, np.int64)}),
        ("classify", {"scores": np.zeros(2, np.float32)}),
    ],
)
def test_outputs_that_do_not_suit_the_method_are_refused(method, outputs):
    call = Call("f", {"inputs": np.array([b"", b""], object)}, tuple(outputs))
    with pytest.raises(ServingError, match=f"of f does not suit {method}"):
        check_outputs(method, call, outputs)
    call = call._replace(outputs=("outputs",))
    check_outputs("regress", call, {"outputs": np.zeros([2, 1], np.float32)})  # control
