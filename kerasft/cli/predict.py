"""`kerasft predict`: texts in, one JSON object a line out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from kerasft.cli import command_parser
from kerasft.console import print_json, results_only
from kerasft.errors import UserError
from kerasft.serving.lines import read_lines

_STDIN = "-"


def main(argv: Sequence[str]) -> None:
    """Prints text, label and probabilities of each text."""
    parser = command_parser("predict", "One JSON object a line: text, label, probabilities.")
    parser.add_argument(
        "saved_model",
        metavar="SAVED_MODEL",
        help="a model's folder (its latest version), or a version's: saved_models/imdb",
    )
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text; - reads lines of stdin")
    arguments = parser.parse_args(argv)
    lines = _read_texts(arguments.texts)
    with results_only():
        from kerasft.serving.predictor import load_predictor

        predictor = load_predictor(arguments.saved_model)
    for answer in predictor.predict_stream(lines):
        print_json(answer)


def _read_texts(texts: Sequence[str]) -> Iterator[str | None]:
    """The texts of the command line, or the lines of stdin as they come."""
    if not texts:
        raise UserError(
            "There is no text to predict.",
            expected='texts after the model ("A quiet, moving film."), or - for lines on stdin',
            fix="end the command with a text in quotes, or with -",
        )
    if _STDIN not in texts:
        # Bytes of an argument that are not UTF-8 could not be printed again.
        return (os.fsencode(text).decode("utf-8", "replace") for text in texts)
    if len(texts) > 1:
        raise UserError(
            "Texts come from the command line or from stdin, not from both.",
            received=" ".join(texts),
            expected="texts, or - alone",
            fix="leave one of them out.",
        )
    if sys.stdin.isatty():
        print("One text a line; Ctrl-D ends.", file=sys.stderr)
    return read_lines(sys.stdin.fileno())
