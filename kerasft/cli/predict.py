"""`kerasft predict`: reads texts, writes one JSON object per line."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence

from kerasft.cli import command_parser
from kerasft.console import print_json, results_only
from kerasft.errors import UserError
from kerasft.serving.examples import parse_json_lines
from kerasft.serving.lines import read_lines

_STDIN = "-"
_DEADLINE = "deadline_seconds"
_CLIENT_OPTIONS = (_DEADLINE, "attempts", "batch_size", "in_flight")
_TLS_OPTIONS = ("ca_file", "client_certificate", "client_key")
_ANSWERS = (
    "Prints one JSON object a line: the text, and label and probabilities, labels and scores, "
    "or value, whichever the model has learnt."
)


def main(argv: Sequence[str]) -> None:
    """Prints the prediction for each text or pair of texts."""
    parser = _build_parser()
    arguments = parser.parse_intermixed_args(argv)
    if arguments.url is not None and arguments.saved_model is not None:
        # With a server there is no model folder: the argument in its place is a text.
        arguments.texts.insert(0, arguments.saved_model)
    elif arguments.url is None and arguments.saved_model is None:
        parser.error("the following arguments are required: SAVED_MODEL, or --url URL")
    _check_one_origin(arguments)
    _check_server_options(arguments)
    with contextlib.ExitStack() as stack:
        with results_only():
            predictor = _open_predictor(arguments, stack)
        for answer in predictor.predict_stream(_read_examples(arguments, predictor.has_pairs)):
            print_json(answer)


def _open_predictor(arguments: argparse.Namespace, stack: contextlib.ExitStack):
    """Returns the model in a folder, or the client of a server; `stack` closes it."""
    if arguments.url is None:
        from kerasft.serving.predictor import load_predictor

        return load_predictor(arguments.saved_model)
    from kerasft.client import Client, Tls
    from kerasft.client.credentials import read_headers

    given = {name: getattr(arguments, name) for name in _CLIENT_OPTIONS}
    client = Client(
        arguments.url,
        headers=read_headers(arguments.header),
        tls=Tls(arguments.ca_file, arguments.client_certificate, arguments.client_key),
        **{name: value for name, value in given.items() if value is not None},
    )
    return stack.enter_context(client)


def _check_server_options(arguments: argparse.Namespace) -> None:
    """Rejects options for a server when none is used."""
    if arguments.url is not None:
        return
    for name in (*_CLIENT_OPTIONS, *_TLS_OPTIONS, "header"):
        if getattr(arguments, name) not in (None, []):
            option = "timeout" if name == _DEADLINE else name.replace("_", "-")
            raise UserError(
                f"--{option} is about a server.",
                expected="--url URL in place of SAVED_MODEL",
                fix="give the address of the server, or leave the option out.",
            )
    if "://" in arguments.saved_model:
        raise UserError(
            "An address of a server is given with --url.", fix="put --url before the address."
        )


def _build_parser() -> argparse.ArgumentParser:
    parser = command_parser("predict", _ANSWERS)
    parser.add_argument(
        "saved_model",
        nargs="?",
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
    _add_server_options(parser)
    return parser


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    server = parser.add_argument_group("a model that TensorFlow Serving serves")
    server.add_argument(
        "--url",
        help="in place of SAVED_MODEL: http://HOST:8501/v1/models/NAME or grpc://HOST:8500/NAME, "
        "https and grpcs over TLS; /versions/N or /labels/LABEL at its end choose a version",
    )
    server.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="NAME:VALUE",
        help="sent with each request; may be given again. Secrets are better kept in the "
        "environment: KERASFT_HEADERS holds a header a line",
    )
    server.add_argument(
        "--timeout",
        dest=_DEADLINE,
        type=float,
        metavar="SECONDS",
        help="for a request with all of its attempts (60)",
    )
    server.add_argument("--attempts", type=int, help="times that a request is tried (6)")
    server.add_argument("--batch-size", type=int, metavar="N", help="texts a request (32)")
    server.add_argument("--in-flight", type=int, metavar="N", help="requests under way (4)")
    server.add_argument("--ca-file", metavar="PEM", help="authorities that vouch for the server")
    server.add_argument("--client-certificate", metavar="PEM", help="a certificate of one's own")
    server.add_argument("--client-key", metavar="PEM", help="its key, if it is a file of its own")


def _check_one_origin(arguments: argparse.Namespace) -> None:
    """Checks that exactly one of texts, pairs or stdin was given."""
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
    """Yields the texts or pairs of the command line, or the lines of stdin as they arrive."""
    if arguments.pair:
        return [(_decode(text), _decode(text_pair)) for text, text_pair in arguments.pair]
    if _STDIN not in arguments.texts:
        return [_decode(text) for text in arguments.texts]
    lines = _read_stdin("JSON object" if arguments.json_lines or has_pairs else "text")
    if arguments.json_lines or has_pairs:
        return parse_json_lines(lines, has_pairs=has_pairs)
    return lines


def _decode(argument: str) -> str:
    """Returns an argument with bytes replaced that are not UTF-8 and could not be printed."""
    return os.fsencode(argument).decode("utf-8", "replace")


def _read_stdin(what: str) -> Iterator[str | None]:
    if sys.stdin.isatty():
        print(f"One {what} a line; Ctrl-D ends.", file=sys.stderr)
    return read_lines(sys.stdin.fileno())
