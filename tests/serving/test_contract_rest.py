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


ERRORS = [
    ("nope:predict", {"instances": ["a"]}, 404, "Servable not found for request: Latest(nope)"),
    (
        "demo/versions/9:predict",
        {"instances": ["a"]},
        404,
        "Servable not found for request: Specific(demo, 9)",
    ),
    (
        "demo/labels/stable:predict",
        {"instances": ["a"]},
        400,
        "Unrecognized servable version label: stable",
    ),
    (
        "demo/versions/99999999999999999999:predict",
        {"instances": ["a"]},
        400,
        "Failed to convert version: 99999999999999999999 to numeric.",
    ),
    (f"demo/versions/{'9' * 5000}:predict", {"instances": ["a"]}, 400, "Failed to convert version"),
    ("demo:predict", b"", 400, "JSON Parse error: The document is empty"),
    ("demo:predict", b"instances", 400, "JSON Parse error: Invalid value. at offset: 0"),
    ("demo:predict", b'{"instances": ["a"]', 400, "JSON Parse error: Missing a comma or }"),
    ("demo:predict", b'{"instances": ["a]}', 400, "JSON Parse error: Missing a closing quotation"),
    ("demo:predict", b'{} {"instances": []}', 400, "JSON Parse error: The document root must not"),
    (
        "demo:predict",
        b'{"instances": ["\\ud83d"]}',
        400,
        "The surrogate pair in string is invalid.",
    ),
    ("demo:predict", [1], 400, "Is not object"),
    ("demo:predict", {"texts": ["a"]}, 400, "Missing 'inputs' or 'instances' key"),
    (
        "demo:predict",
        {"instances": ["a"], "inputs": ["a"]},
        400,
        "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist",
    ),
    ("demo:predict", {"instances": "a"}, 400, "Excepting 'instances' to be an list/array"),
    ("demo:predict", {"instances": []}, 400, "No values in 'instances' array"),
    (
        "demo:predict",
        {"instances": ["a"], "signature_name": "nope"},
        400,
        'Serving signature name: "nope" not found in signature def',
    ),
    (
        "demo:predict",
        {"instances": ["a"], "signature_name": 1},
        400,
        "'signature_name' key must be a string value.",
    ),
    (
        "demo:predict",
        {"instances": [1]},
        400,
        "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: 1 "
        "Type: Number is not of expected type: string",
    ),
    ("demo:predict", {"instances": ["a", None]}, 400, "JSON Value: null Type: Null is not of exp"),
    ("demo:predict", {"instances": ["a", ["b"]]}, 400, "Failed to process element: 1 of"),
    (
        "demo:predict",
        {"instances": [{"text": "a", "nope": "b"}]},
        400,
        "Failed to process element: 0 key: nope of 'instances' list. Error: INVALID_ARGUMENT: "
        "JSON object: does not have named input: nope",
    ),
    (
        "demo:predict",
        {"instances": [{"text": "a"}, "b"]},
        400,
        "Expecting object but got list at item 1 of input list",
    ),
    (
        "demo:predict",
        {"instances": ["a", {"text": "b"}]},
        400,
        "Expecting value/list but got object at item 1 of input list",
    ),
    ("demo:predict", {"instances": [{"b64": "%%%"}]}, 400, "Unable to base64 decode"),
    ("demo:predict", {"inputs": {"nope": ["a"]}}, 400, "Missing named input: text in 'inputs'"),
    ("demo:predict", {"inputs": "scalar"}, 400, ""),
    (
        "demo:predict",
        {"inputs": [["a", "b"], ["c"]]},
        400,
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    (
        "demo:predict",
        {"inputs": ["a", ["b"]]},
        400,
        "Encountered list at unexpected level: 1 expected < 1",
    ),
    (
        "demo:predict",
        {"signature_name": "double", "inputs": [["a", "b"]]},
        400,
        'JSON Value: "a" Type: String is not of expected type: float',
    ),
    (
        "demo:predict",
        {"signature_name": "double", "inputs": [[16777217, 1]]},
        400,
        "Cannot convert JSON value: 16777217 to float without loss of precision.",
    ),
    (
        "demo:predict",
        {"signature_name": "several", "inputs": {"text": ["a"], "number": [1.5]}},
        400,
        "Type: Number is not of expected type: int64",
    ),
    (
        "demo:predict",
        {"signature_name": "several", "instances": ["a"]},
        400,
        "instances is a plain list, but expecting list of objects as multiple input tensors",
    ),
    (
        "demo:predict",
        {"signature_name": "several", "instances": [{"text": "a"}]},
        400,
        "keys must be equal to: number,text",
    ),
    (
        "demo:predict",
        {"signature_name": "several", "inputs": {"text": ["a"], "number": [1, 2]}},
        400,
        "Batching Run() input tensors must have equal 0th-dimension size",
    ),
    (
        "demo:predict",
        {"instances": ["a"] * 65},
        400,
        "Task size 65 is larger than maximum input batch size 64",
    ),
    ("demo:classify", {"signature_name": "classify"}, 400, "key 'examples' is expected and was"),
    (
        "demo:classify",
        {"signature_name": "classify", "examples": {}},
        400,
        "Expecting 'examples' value to be an list/array",
    ),
    (
        "demo:classify",
        {"signature_name": "classify", "examples": []},
        400,
        "'examples' value is an empty array",
    ),
    (
        "demo:classify",
        {"signature_name": "classify", "examples": ["a"]},
        400,
        "Example must be JSON object but got JSON String",
    ),
    (
        "demo:classify",
        {"signature_name": "classify", "examples": [{"text": None}]},
        400,
        "Feature: text has element with unexpected JSON type: Null",
    ),
    (
        "demo:classify",
        {"signature_name": "classify", "examples": [{"text": ["a", 1]}]},
        400,
        "Unexpected element type in feature: text expecting type: bytes",
    ),
    (
        "demo:classify",
        {"signature_name": "classify", "examples": [{"text": 7}]},
        400,
        "Data types don't match. Data type: int64 but expected type: string",
    ),
    (
        "demo:classify",
        {"signature_name": "nope", "examples": [{"text": "a"}]},
        400,
        "No signature was found with the name: nope",
    ),
    (
        "demo:classify",
        {"examples": [{"text": "a"}]},
        400,
        "Expected one or two output Tensors, found 3",
    ),
    ("demo:regress", {"examples": [{"text": "a"}]}, 400, "Expected one output Tensor."),
    ("demo:guess", {"instances": ["a"]}, 400, "Malformed request: POST /v1/models/demo:guess"),
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
