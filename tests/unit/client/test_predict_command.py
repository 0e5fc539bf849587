"""`kerasft predict --url`: what it prints is what `kerasft predict SAVED_MODEL` prints."""

from __future__ import annotations

import json
import shlex
import subprocess
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


@pytest.mark.parametrize("before", [0, 1, 2])
def test_texts_before_and_after_the_url(predict, served, lines_of, before):
    arguments = ["one", "café"]
    arguments[before:before] = ["--url", served.url()]
    assert predict(*arguments) == (0, lines_of("one", "café"), "")


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


@pytest.mark.parametrize(
    "texts", [["-"], ["-awful"], ["a", "--url=http://h/v1/models/m"], ["--", "--pair", "--help"]]
)
def test_all_that_follows_two_dashes_is_text(predict, served, lines_of, texts):
    assert predict("--url", served.url(), "--", *texts) == (0, lines_of(*texts), "")
    assert predict("--url", served.url(), "one", "--", *texts) == (0, lines_of("one", *texts), "")


@pytest.fixture
def stopping(served, monkeypatch, tmp_path):
    """Makes a file of 9 lines stdin; the server answers 4 of them."""
    monkeypatch.chdir(tmp_path)
    busy = served.faults.busy
    served.model.refuses = lambda columns: (
        busy if columns and b"line 5" in columns["text"] else None
    )
    path = tmp_path / "my texts.jsonl"
    path.write_text("\n".join(f'\n{{"text": "line {number}"}}' for number in range(1, 10)))
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield path


def test_who_gives_up_says_how_to_go_on(predict, served, lines_of, stopping):
    asked = ["--url", served.url(), "--batch-size=4", "--attempts=2", "-", "--json-lines"]
    code, out, err = predict(*asked, "--header", "x-key: s3cret", "--header=x: s3cret")
    assert (code, out) == (75, lines_of(*(f"line {number}" for number in range(1, 5))))
    command = "tail -n +10 'my texts.jsonl' | "
    assert f"4 lines are answered; this goes on: {command}" in err
    assert "--attempts N" in err
    assert "s3cret" not in err
    said = err.partition("kerasft predict ")[2].strip()
    expected = [*asked, "--header", "x-key: ...", "--header=x: ..."]
    assert shlex.split(said) == expected
    rest = subprocess.run(f"{command} cat", shell=True, capture_output=True, text=True).stdout
    assert json.loads(rest.splitlines()[0]) == {"text": "line 5"}


def test_a_pipe_has_no_name_that_goes_on(predict, served, stopping, monkeypatch):
    monkeypatch.setattr("kerasft.cli.predict.stdin_path", lambda: None)
    _, _, err = predict(
        "--url", served.url(), "--batch-size=4", "--attempts=1", "-", "--json-lines"
    )
    assert "this goes on: WHAT_WRITES_THE_LINES | tail -n +10 | " in err


def test_a_line_that_is_too_large_is_named(predict, served, stopping):
    fault = served.fault(413, "RESOURCE_EXHAUSTED", "larger than max (99 vs. 40)")
    served.model.refuses = lambda columns: (
        fault if columns and b"line 7" in columns["text"] else None
    )
    code, _, err = predict("--url", served.url(), "--batch-size=4", "-", "--json-lines")
    assert code == 2
    assert err.startswith("error: stdin, line 14: A text of 0.0 MB is too long. The request is too")


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: SAVED_MODEL, or --url URL"),
        (["--url", "http://h/v1/models/m"], "There is no text to predict."),
        (["--url", "nonsense", "one"], "This is no address of a served model. Received: 'nonsen"),
        (["http://a:s3cret@h/v1/models/m", "one"], "An address of a server is given with --url."),
        (
            ["--url", "http://h/v1/models/m", "one", "--url=http://a:s3cret@g/v1/models/m"],
            "--url is given twice. Expected: one server. Fix: a text that begins with --url",
        ),
        (
            ["saved_models/m", "--url=http://h/v1/models/m is where I saw it"],
            "An address has no blanks: in a name, write %20.",
        ),
        (
            ["saved_models/m", "-awful"],
            "There is no such option. Received: '-awful'. Expected: the options that kerasft pred",
        ),
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
