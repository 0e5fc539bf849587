"""`kerasft launch`: runs a command as several processes that train together."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.errors import UserError
from kerasft.training.distribution.launch import join, launch

_EXAMPLE = "kerasft launch --workers 2 -- python -m kerasft.pipelines.imdb --recipe imdb_quick"


def main(argv: Sequence[str]) -> None:
    """Runs the command in every process; exits with the chief's exit code."""
    parser = command_parser(
        "launch",
        "TF_CONFIG tells each process which it is; with training.strategy=auto they share every "
        f"batch. Here: {_EXAMPLE}. On several machines, once on each: kerasft launch --hosts "
        "host-0:2222,host-1:2222 --index 0 -- ...",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="so many processes here; else 2")
    parser.add_argument(
        "--hosts", metavar="HOST:PORT,...", help="one process on each of these, the chief first"
    )
    parser.add_argument(
        "--index",
        type=int,
        metavar="N",
        help="which of the hosts this is, from 0; else what Kubernetes or Slurm says",
    )
    own, command = _split(argv)
    arguments = parser.parse_args(own)
    if not command:
        raise UserError("Which command?", expected="it behind --", fix=_EXAMPLE)
    if arguments.hosts is not None:
        if arguments.workers is not None:
            raise UserError(
                "--workers are processes here, and --hosts names those elsewhere.",
                fix="give one of them.",
            )
        join(command, arguments.hosts.split(","), arguments.index)
    if arguments.index is not None:
        raise UserError("--index is one of the hosts.", expected="--hosts beside it")
    workers = 2 if arguments.workers is None else arguments.workers
    if workers < 1:
        raise UserError(
            "--workers is how many processes there are.", received=workers, expected="1 or more"
        )
    sys.exit(launch(command, workers))


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Returns the arguments of launch, and the command after `--`."""
    if "--" not in argv:
        return argv, ()
    place = list(argv).index("--")
    return argv[:place], argv[place + 1 :]
