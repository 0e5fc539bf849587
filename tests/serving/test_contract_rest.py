"""REST as TensorFlow Serving has it: the bodies, the codes, the messages of its own sources.

Runs against the real server where KERASFT_TF_SERVING names one: see make_models.py.
"""

from __future__ import annotations

import gzip
import json
import math

import pytest

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


def test_rows_may_name_their_input_and_be_base64(predict):
    plain = predict({"instances": ["four"]})
    assert predict({"instances": [{"text": "four"}]}) == plain
    assert predict({"instances": [{"b64": "Zm91cg=="}]}) == plain
    assert predict({"instances": [{"text": {"b64": "Zm91cg=="}}]}) == plain
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
    answer = contract.pool.request(
        "POST", f"http://{contract.rest}/v1/models/demo:predict", body=json.dumps(body)
    )
    rows = json.loads(answer.data, parse_float=str)["predictions"]
    # Six digits where they are enough, else nine; a double would show 0.20000000298023224.
    assert rows[0] == ["0.2", "0.666666687"]
    assert [float(cell) for cell in rows[1]] == pytest.approx([2e-20, 2e30])


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


def test_the_context_is_part_of_each_example(contract):
    body = {"signature_name": "regress", "context": {"text": "context"}, "examples": [{}, {}]}
    assert contract.post("demo:regress", body) == (200, {"results": [7.0, 7.0]})


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


def test_a_version_can_be_asked(contract, predict):
    body = {"instances": TEXTS}
    assert contract.post("demo/versions/1:predict", body) == predict(body)


def rows(*instances, **more):
    return {"instances": [*instances], **more}


def several(**columns):
    return {"signature_name": "several", "inputs": columns}


def doubled(*columns):
    return {"signature_name": "double", "inputs": [*columns]}


def examples(found, signature_name="classify"):
    return {"signature_name": signature_name, "examples": found}


ELEMENT = "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "
KEY = "Failed to process element: 0 key: nope of 'instances' list. Error: INVALID_ARGUMENT: "
ONE_KEY = "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist"
PLAIN_LIST = "instances is a plain list, but expecting list of objects as multiple input tensors"
WRONG_BODIES = [  # for demo:predict; all are 400
    (b"", "JSON Parse error: The document is empty"),
    (b"instances", "JSON Parse error: Invalid value. at offset: 0"),
    (b'{"instances": ["a"]', "JSON Parse error: Missing a comma or }"),
    (b'{"instances": ["a]}', "JSON Parse error: Missing a closing quotation"),
    (b'{} {"instances": []}', "JSON Parse error: The document root must not"),
    (b'{"instances": ["\\ud83d"]}', "The surrogate pair in string is invalid."),
    ([1], "Is not object"),
    ({"texts": ["a"]}, "Missing 'inputs' or 'instances' key"),
    (rows("a", inputs=["a"]), ONE_KEY),
    ({"instances": "a"}, "Excepting 'instances' to be an list/array"),
    (rows(), "No values in 'instances' array"),
    (rows("a", signature_name="nope"), 'Serving signature name: "nope" not found in signature def'),
    (rows("a", signature_name=1), "'signature_name' key must be a string value."),
    (rows(1), f"{ELEMENT}JSON Value: 1 Type: Number is not of expected type: string"),
    (rows("a", None), "JSON Value: null Type: Null is not of exp"),
    (rows("a", ["b"]), "Failed to process element: 1 of"),
    (rows({"text": "a", "nope": "b"}), f"{KEY}JSON object: does not have named input: nope"),
    (rows({"text": "a"}, "b"), "Expecting object but got list at item 1 of input list"),
    (rows("a", {"text": "b"}), "Expecting value/list but got object at item 1 of input list"),
    (rows({"b64": "%%%"}), "Unable to base64 decode"),
    (rows("a", signature_name="several"), PLAIN_LIST),
    (rows({"text": "a"}, signature_name="several"), "keys must be equal to: number,text"),
    (rows(*["a"] * 65), "Task size 65 is larger than maximum input batch size 64"),
    ({"inputs": {"nope": ["a"]}}, "Missing named input: text in 'inputs'"),
    ({"inputs": "scalar"}, ""),
    (
        {"inputs": [["a", "b"], ["c"]]},
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    ({"inputs": ["a", ["b"]]}, "Encountered list at unexpected level: 1 expected < 1"),
    (doubled(["a", "b"]), 'JSON Value: "a" Type: String is not of expected type: float'),
    (
        doubled([16777217, 1]),
        "Cannot convert JSON value: 16777217 to float without loss of precision.",
    ),
    (several(text=["a"], number=[1.5]), "Type: Number is not of expected type: int64"),
    (
        several(text=["a"], number=[1, 2]),
        "Batching Run() input tensors must have equal 0th-dimension size",
    ),
]
WRONG_EXAMPLES = [  # for demo:classify; all are 400
    ({"signature_name": "classify"}, "key 'examples' is expected and was"),
    (examples({}), "Expecting 'examples' value to be an list/array"),
    (examples([]), "'examples' value is an empty array"),
    (examples(["a"]), "Example must be JSON object but got JSON String"),
    (examples([{"text": None}]), "Feature: text has element with unexpected JSON type: Null"),
    (
        examples([{"text": ["a", 1]}]),
        "Unexpected element type in feature: text expecting type: bytes",
    ),
    (examples([{"text": 7}]), "Data types don't match. Data type: int64 but expected type: string"),
    (examples([{"text": "a"}], "nope"), "No signature was found with the name: nope"),
    ({"examples": [{"text": "a"}]}, "Expected one or two output Tensors, found 3"),
]
TOO_LONG = "9" * 20
WRONG_PLACES = [
    ("nope:predict", 404, "Servable not found for request: Latest(nope)"),
    ("demo/versions/9:predict", 404, "Servable not found for request: Specific(demo, 9)"),
    ("demo/labels/stable:predict", 400, "Unrecognized servable version label: stable"),
    (
        f"demo/versions/{TOO_LONG}:predict",
        400,
        f"Failed to convert version: {TOO_LONG} to numeric.",
    ),
    (f"demo/versions/{'9' * 5000}:predict", 400, "Failed to convert version"),
    ("demo:guess", 400, "Malformed request: POST /v1/models/demo:guess"),
]
ERRORS = [
    *(("demo:predict", body, 400, message) for body, message in WRONG_BODIES),
    *(("demo:classify", body, 400, message) for body, message in WRONG_EXAMPLES),
    ("demo:regress", {"examples": [{"text": "a"}]}, 400, "Expected one output Tensor."),
    *((path, rows("a"), status, message) for path, status, message in WRONG_PLACES),
]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"), ERRORS, ids=[str(i) for i in range(len(ERRORS))]
)
def test_a_wrong_request_gets_code_and_message(contract, path, body, status, message):
    found, answer = contract.post(path, body)
    assert found == status
    assert answer.keys() == {"error"}
    assert message in answer["error"]
    assert "Traceback" not in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/v1/models/nope", 404, "Could not find any versions of model nope"),
        ("GET", "/v1/models/demo/versions/9", 404, "Could not find version 9 of model demo"),
        ("GET", "/v1/models/nope/metadata", 404, "Servable not found for request: Latest(nope)"),
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/demo:predict", 400, "Malformed request: GET /v1/models/demo:predict"),
        ("GET", "/v1/foo", 400, "Malformed request: GET /v1/foo"),
        ("PUT", "/v1/models/demo", 400, "Malformed request: PUT /v1/models/demo"),
    ],
)
def test_a_wrong_address_gets_code_and_message(contract, method, path, status, message):
    assert contract.ask(method, path) == (status, {"error": message})


def test_another_address_is_not_found(contract):
    answer = contract.pool.request("GET", f"http://{contract.rest}/index.html")
    assert answer.status == 404


def test_a_name_may_be_quoted(contract, predict):
    body = {"instances": ["a"]}
    assert contract.post("d%65mo:predict", body) == predict(body)


def test_no_examples_in_columns_get_no_answers(predict):
    status, answer = predict({"inputs": {"text": []}})
    assert status == 200
    assert answer["outputs"]["label"] == []


def test_a_body_may_be_packed(contract, predict):
    body = {"instances": TEXTS}
    packed = gzip.compress(json.dumps(body).encode())
    headers = {"Content-Encoding": "gzip"}
    assert contract.post("demo:predict", packed, headers=headers) == predict(body)
