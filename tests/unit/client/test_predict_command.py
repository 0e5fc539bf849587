"""`kerasft predict --url`: what it prints is what `kerasft predict SAVED_MODEL` prints."""

from __future__ import annotations

import json
import sys

import pytest

from kerasft import __main__


@pytest.fixture
def predict(monkeypatch, capsys):
    def predict(*arguments):
        monkeypatch.setattr(sys, "argv", ["kerasft", "predict", *arguments])
        code = __main__.main()
        out, err = capsys.readouterr()
        return code, out, err

    return predict


@pytest.fixture
def lines_of(served):
    def lines_of(*texts):
        answers = [{"text": text} | served.model.answer(text.encode()) for text in texts]
        return "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)

    return lines_of


@pytest.mark.parametrize("before", [True, False])
def test_texts(predict, served, lines_of, before):
    url = ["--url", served.url()]
    arguments = [*url, "one", "café"] if before else ["one", *url, "café"]
    assert predict(*arguments) == (0, lines_of("one", "café"), "")


def test_one_text_before_the_url(predict, served, lines_of):
    assert predict("one", "--url", served.url()) == (0, lines_of("one"), "")


@pytest.mark.parametrize("arguments", [["-"], ["-", "--json-lines"], ["--json-lines", "-"]])
def test_stdin(predict, served, lines_of, monkeypatch, tmp_path, arguments):
    texts = [f"text {'x' * (number % 7)}" for number in range(30)]
    as_json = "--json-lines" in arguments
    rows = [json.dumps({"text": text}) if as_json else text for text in texts]
    (tmp_path / "stdin").write_text("\n".join(rows))
    with (tmp_path / "stdin").open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        result = predict("--url", served.url(), "--batch-size", "4", *arguments)
    assert result == (0, lines_of(*texts), "")


def test_pairs(predict, serve, model_of):
    url = serve("rest", model_of("number", has_pairs=True)).url()
    code, out, _ = predict("--url", url, "--pair", "one", "two", "--pair", "", "")
    assert (code, [json.loads(line)["value"] for line in out.splitlines()]) == (0, [2.0, 0.0])
    code, out, err = predict("--url", url, "one")
    assert (code, out) == (2, "")
    assert "This model reads pairs of texts, and number 1 is a single text." in err


def test_headers_of_option_and_environment(predict, served, monkeypatch):
    monkeypatch.setenv("KERASFT_HEADERS", "authorization: Bearer abc:def\n\nx-a: of environment\n")
    assert predict("--url", served.url(), "--header", "x-a:of option", "one")[0] == 0
    _, sent, _ = served.model.requests[-1]
    assert (sent["authorization"], sent["x-a"]) == ("Bearer abc:def", "of option")


def test_certificates(predict, serve, certificates):
    url = serve("rest", None, "server", asks_for_one=True).url()
    files = ["--ca-file", f"{certificates}/ca.pem"]
    own = [f"--client-{what}={certificates}/client.pem" for what in ("certificate", "key")]
    assert predict("--url", url, *files, *own, "one")[0] == 0
    assert predict("--url", url, *own, "one")[0] == 2


def test_a_server_that_is_busy_is_75_and_prints_nothing(predict, served):
    served.model.faults = [served.faults.busy] * 2
    code, out, err = predict("--url", served.url(), "--attempts", "2", "--timeout", "9", "one")
    assert (code, out) == (75, "")
    assert err.startswith("error: The server at ")
    assert "(2 attempts): no room." in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: SAVED_MODEL, or --url URL"),
        (["--url", "http://h/v1/models/m"], "There is no text to predict."),
        (["--url", "nonsense", "one"], "This is no address of a served model. Received: 'nonsen"),
        (["http://a:s3cret@h/v1/models/m", "one"], "An address of a server is given with --url."),
        (["saved_models/m", "one", "--timeout", "3"], "--timeout is about a server."),
        (["saved_models/m", "one", "--attempts", "0"], "--attempts is about a server."),
        (["saved_models/m", "one", "--header", "s3cret"], "--header is about a server."),
        (["saved_models/m", "one", "--ca-file", "x"], "--ca-file is about a server. Expected: "),
        (["--url", "http://h/v1/models/m", "--header", "s3cret", "one"], "--header has no colon."),
        (["--url", "http://h/v1/models/m", "--in-flight", "x", "one"], "invalid int value: 'x'"),
    ],
)
def test_mistakes_are_2(predict, arguments, message):
    code, out, err = predict(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "s3cret" not in err
