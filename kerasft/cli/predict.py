"""`kerasft predict`: texts in, one JSON object a line out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from kerasft.cli import command_parser
from kerasft.console import print_json, results_only
from kerasft.errors import UserError
from kerasft.serving.examples import parse_json_lines
from kerasft.serving.lines import read_lines

_STDIN = "-"
_ANSWERS = (
    "Prints one JSON object a line: the text, and label and probabilities, labels and scores, "
    "or value, whichever the model has learnt."
)


def main(argv: Sequence[str]) -> None:
    """Prints the answer to each text, or to each pair of texts."""
    arguments = _build_parser().parse_args(argv)
    _check_one_origin(arguments)
    with results_only():
        from kerasft.serving.predictor import load_predictor

        predictor = load_predictor(arguments.saved_model)
    for answer in predictor.predict_stream(_read_examples(arguments, predictor.has_pairs)):
        print_json(answer)


def _build_parser() -> argparse.ArgumentParser:
    parser = command_parser("predict", _ANSWERS)
    parser.add_argument(
        "saved_model",
        metavar="SAVED_MODEL",
        help="a model's folder (its latest version), or a version's: saved_models/imdb",
    )
    parser.add_argument(
        "texts",
        nargs="*",
        metavar="TEXT",
        help="a text; - reads stdin: a text a line, for a model that reads pairs JSON lines",
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        default=[],
        metavar=("TEXT", "TEXT_PAIR"),
        help="two texts, for a model that reads pairs; may be given again",
    )
    parser.add_argument(
        "--json-lines",
        action="store_true",
        help='stdin holds a JSON object a line: {"text": ...}, for pairs also "text_pair"',
    )
    return parser


def _check_one_origin(arguments: argparse.Namespace) -> None:
    """Checks that texts, pairs or stdin were given, and one of them alone."""
    texts, pairs = arguments.texts, arguments.pair
    if not texts and not pairs:
        raise UserError(
            "There is no text to predict.",
            expected='texts after the model ("A quiet, moving film."), --pair TEXT TEXT_PAIR, '
            "or - for lines on stdin",
            fix="end the command with a text in quotes, or with -",
        )
    if _STDIN in texts and (len(texts) > 1 or pairs):
        raise UserError(
            "Texts come from the command line or from stdin, not from both.",
            received=" ".join([*texts, *(f"--pair {' '.join(pair)}" for pair in pairs)]),
            expected="texts, or - alone",
            fix="leave one of them out.",
        )
    if texts and pairs:
        raise UserError(
            "A model reads single texts or pairs, not both.",
            received=" ".join([*texts, *(f"--pair {' '.join(pair)}" for pair in pairs)]),
            expected="texts alone, or --pair alone",
            fix="leave one of them out.",
        )
    if arguments.json_lines and _STDIN not in texts:
        raise UserError("--json-lines is about stdin.", expected="- in place of texts")


def _read_examples(
    arguments: argparse.Namespace, has_pairs: bool
) -> Iterable[str | tuple[str, str] | None]:
    """The texts or pairs of the command line, or what the lines of stdin hold, as they come."""
    if arguments.pair:
        return [(_decode(text), _decode(text_pair)) for text, text_pair in arguments.pair]
    if _STDIN not in arguments.texts:
        return [_decode(text) for text in arguments.texts]
    lines = _read_stdin("JSON object" if arguments.json_lines or has_pairs else "text")
    if arguments.json_lines or has_pairs:
        return parse_json_lines(lines, has_pairs=has_pairs)
    return lines


def _decode(argument: str) -> str:
    """Bytes of an argument that are not UTF-8 could not be printed again."""
    return os.fsencode(argument).decode("utf-8", "replace")


def _read_stdin(what: str) -> Iterator[str | None]:
    if sys.stdin.isatty():
        print(f"One {what} a line; Ctrl-D ends.", file=sys.stderr)
    return read_lines(sys.stdin.fileno())
