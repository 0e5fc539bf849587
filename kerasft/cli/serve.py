"""`kerasft serve`: exported models behind REST and gRPC."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.console import log, results_only
from kerasft.errors import UserError
from kerasft.serving.model_path import find_served_models
from kerasft.serving.real_server import LOOPBACK, find_real_server, serve_real
from kerasft.serving.server.settings import Settings

_SIGNALLED = 128


def main(argv: Sequence[str]) -> None:
    """Serves until it is stopped; exits with 128 plus the signal's number."""
    arguments = _parse(argv)
    _check(arguments)
    folders = find_served_models(arguments.saved_models)
    if arguments.host not in LOOPBACK:
        log(
            f"warning: the server listens on {arguments.host}: whoever reaches this machine can "
            "ask, without a password."
        )
    settings = Settings(
        host=arguments.host,
        port=arguments.port,
        grpc_port=arguments.grpc_port,
        batching=arguments.batching,
        poll_seconds=arguments.poll_seconds,
        seconds=arguments.timeout,
        body_bytes=int(arguments.max_body_mb * 1e6),
    )
    server = None if arguments.embedded else find_real_server()
    if server is not None:
        sys.exit(serve_real(server, folders, settings, log))
    with results_only():
        from kerasft.serving.server.embedded import serve_until_signal

        sys.exit(_SIGNALLED + asyncio.run(serve_until_signal(folders, settings, log)))


def _parse(argv: Sequence[str]) -> Namespace:
    parser = command_parser(
        "serve",
        "Takes TensorFlow Serving where it is installed (tensorflow_model_server, or Docker); "
        "otherwise an embedded server that speaks as it does, for trying and for tests.",
    )
    parser.add_argument(
        "saved_models",
        nargs="?",
        default="saved_models",
        metavar="FOLDER",
        help="a folder of models, or one model's; else saved_models",
    )
    parser.add_argument("--port", type=int, default=8501, help="of REST; else 8501; 0: a free one")
    parser.add_argument(
        "--grpc-port", type=int, default=8500, help="of gRPC; else 8500; 0: a free one"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; else loopback alone"
    )
    parser.add_argument(
        "--embedded", action="store_true", help="the embedded server, whatever is installed"
    )
    parser.add_argument(
        "--no-batching",
        dest="batching",
        action="store_false",
        help="compute each request alone; else as batching_params.pbtxt of a version says",
    )
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="SECONDS", help="for an answer; else 30"
    )
    parser.add_argument(
        "--max-body-mb",
        type=float,
        default=16.0,
        metavar="MB",
        help="the largest request that the embedded server reads; else 16",
    )
    parser.add_argument(
        "--poll-seconds",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="between two looks for new versions; else 1",
    )
    return parser.parse_args(argv)


def _check(arguments: Namespace) -> None:
    for option, port in (("--port", arguments.port), ("--grpc-port", arguments.grpc_port)):
        if not 0 <= port < 1 << 16:
            raise UserError(f"{option} is no port.", received=port, expected="0 to 65535")
    if arguments.port == arguments.grpc_port != 0:
        raise UserError(
            "REST and gRPC need a port each.",
            received=f"--port {arguments.port} --grpc-port {arguments.grpc_port}",
        )
    for option in ("timeout", "max-body-mb", "poll-seconds"):
        value = getattr(arguments, option.replace("-", "_"))
        if not 0 < value < 1e6:  # not NaN either
            raise UserError(
                f"--{option} is no such number.", received=value, expected="more than 0"
            )
