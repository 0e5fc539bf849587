"""`kerasft predict`: reads texts, writes one JSON object per line."""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence

from kerasft.cli import command_parser
from kerasft.console import EXIT_TRY_AGAIN, print_json, program, results_only
from kerasft.errors import UserError
from kerasft.serving.examples import parse_json_line
from kerasft.serving.lines import read_lines, stdin_path
from kerasft.serving.windows import TextError
from kerasft.text_files import quote_path

_STDIN = "-"
_TEXTS_FOLLOW = "--"
_CLIENT_OPTIONS = ("timeout", "attempts", "batch_size", "in_flight")
_TLS_OPTIONS = ("ca_file", "client_certificate", "client_key")
_ANSWERS = (
    "Prints one JSON object a line: the text, and label and probabilities, labels and scores, "
    "or value, whichever the model has learnt."
)


def main(argv: Sequence[str]) -> None:
    """Prints the prediction for each text or pair of texts."""
    arguments = _parse(argv)
    _check_one_origin(arguments)
    _check_server_options(arguments)
    unanswered: collections.deque[int] = collections.deque()  # lines of stdin, by number
    num_answered = 0
    with contextlib.ExitStack() as stack:
        with results_only():
            predictor = _open_predictor(arguments, stack)
        examples = _read_examples(arguments, predictor.has_pairs, unanswered)
        try:
            for answer in predictor.predict_stream(examples):
                print_json(answer)
                num_answered += 1
                if unanswered:
                    unanswered.popleft()
        except UserError as error:
            if not unanswered:
                raise
            told = type(error) if error.exit_code == EXIT_TRY_AGAIN else UserError
            raise told(_add_place(error, unanswered, num_answered, argv)) from error


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the arguments; whatever follows `--` is a text."""
    options, after = list(argv), []
    if _TEXTS_FOLLOW in options:
        at = options.index(_TEXTS_FOLLOW)
        options, after = options[:at], options[at + 1 :]
    parser = _build_parser()
    arguments, unknown = parser.parse_known_intermixed_args(options)
    if unknown:
        raise UserError(
            "There is no such option.",
            received=" ".join(unknown),
            expected="the options that kerasft predict --help shows",
            fix=f"a text that begins with a dash follows --, at the end: -- {shlex.join(unknown)}",
        )
    if arguments.url and len(arguments.url) > 1:
        raise UserError(
            "--url is given twice.",
            expected="one server",
            fix='a text that begins with --url follows --, at the end: -- "--url=..."',
        )
    arguments.url = arguments.url[0] if arguments.url else None
    if arguments.url is not None and arguments.saved_model is not None:
        # With a server there is no model folder: the argument in its place is a text.
        arguments.texts.insert(0, arguments.saved_model)
    elif arguments.url is None and arguments.saved_model is None:
        if not after:
            parser.error("the following arguments are required: SAVED_MODEL, or --url URL")
        arguments.saved_model, *after = after
    arguments.from_stdin = _STDIN in arguments.texts
    arguments.texts += after
    return arguments


def _add_place(
    error: UserError, unanswered: Sequence[int], num_answered: int, argv: Sequence[str]
) -> str:
    """Returns an error's message with the line of stdin, or with how to go on after it."""
    if isinstance(error, TextError):
        return f"stdin, line {unanswered[error.number - 1 - num_answered]}: {error.args[0]}"
    if error.exit_code != EXIT_TRY_AGAIN or not num_answered:
        return str(error)
    path = stdin_path()
    rest = f"tail -n +{unanswered[0]}"
    rest = f"{rest} {quote_path(path)}" if path else f"WHAT_WRITES_THE_LINES | {rest}"
    command = f"{program('kerasft')} predict {shlex.join(_without_header_values(argv))}"
    return f"{error} {num_answered:,} lines are answered; this goes on: {rest} | {command}"


def _without_header_values(argv: Sequence[str]) -> list[str]:
    """Returns the arguments with `...` for what is secret."""
    shown = list(argv)
    for index, argument in enumerate(argv):
        if (index and argv[index - 1] == "--header") or argument.startswith("--header="):
            shown[index] = f"{argument.partition(':')[0]}: ..."
    return shown


def _open_predictor(arguments: argparse.Namespace, stack: contextlib.ExitStack):
    """Returns the model in a folder, or the client of a server; `stack` closes it."""
    if arguments.url is None:
        from kerasft.serving.predictor import load_predictor

        return load_predictor(arguments.saved_model)
    from kerasft.client import Client, Tls
    from kerasft.client.credentials import read_headers

    given = {name: getattr(arguments, name) for name in _CLIENT_OPTIONS}
    given["deadline_seconds"] = given.pop("timeout")
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
            raise UserError(
                f"--{name.replace('_', '-')} is about a server.",
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
        help="a text; - reads stdin: a text a line, for a model that reads pairs JSON lines; what "
        "follows -- is a text in any case",
    )
    parser.add_argument(
        "--pair",
        nargs=2,
        action="append",
        default=[],
        metavar=("TEXT", "TEXT_PAIR"),
        help="two texts, for a model that reads pairs; may be given again. Texts that begin with "
        "a dash: as JSON lines on stdin",
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
        action="append",
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
        type=float,
        metavar="SECONDS",
        help="for a request with all of its attempts (60)",
    )
    server.add_argument(
        "--attempts", type=int, help="times that a request is tried (as the timeout allows)"
    )
    server.add_argument(
        "--batch-size", type=int, metavar="N", help="texts a request (32), of 4 MB at most"
    )
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
    what = None
    if arguments.from_stdin and (len(texts) > 1 or pairs):
        what = "Texts come from the command line or from stdin, not from both."
    elif texts and pairs:
        what = "A model reads single texts or pairs, not both."
    if what is not None:
        raise UserError(
            what,
            received=" ".join([*texts, *(f"--pair {' '.join(pair)}" for pair in pairs)]),
            expected="texts alone, --pair alone, or - alone",
            fix="leave one of them out.",
        )
    if arguments.json_lines and not arguments.from_stdin:
        raise UserError("--json-lines is about stdin.", expected="- in place of texts")


def _read_examples(
    arguments: argparse.Namespace, has_pairs: bool, unanswered: collections.deque[int]
) -> Iterable[str | tuple[str, str] | None]:
    """Returns the texts or pairs of the command line, or the lines of stdin as they arrive."""
    if arguments.pair:
        return [(_decode(text), _decode(text_pair)) for text, text_pair in arguments.pair]
    if not arguments.from_stdin:
        return [_decode(text) for text in arguments.texts]
    return _read_stdin(arguments.json_lines or has_pairs, has_pairs, unanswered)


def _decode(argument: str) -> str:
    """Returns an argument with bytes replaced that are not UTF-8 and could not be printed."""
    return os.fsencode(argument).decode("utf-8", "replace")


def _read_stdin(
    as_json: bool, has_pairs: bool, unanswered: collections.deque[int]
) -> Iterator[str | tuple[str, str] | None]:
    """Yields the example of each line, whose number goes to `unanswered`; see `read_lines`.

    Blank lines between JSON objects are skipped, as in training files.
    """
    if sys.stdin.isatty():
        what = "JSON object" if as_json else "text"
        print(f"One {what} a line; Ctrl-D ends.", file=sys.stderr)
    for numbered in read_lines(sys.stdin.fileno(), stdin_path()):
        if numbered is None:
            yield None
            continue
        number, line = numbered
        if as_json and not line.strip():
            continue
        example = parse_json_line(line, number, has_pairs=has_pairs) if as_json else line
        unanswered.append(number)
        yield example
