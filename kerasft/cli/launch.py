"""`kerasft launch`: a command as several processes of this machine that train together."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.errors import UserError
from kerasft.pipelines.launching import launch

_EXAMPLE = "kerasft launch --workers 2 -- python -m kerasft.pipelines.imdb --recipe imdb_quick"


def main(argv: Sequence[str]) -> None:
    """Runs the command in every process; exits with the code of the chief."""
    parser = command_parser(
        "launch",
        "TF_CONFIG tells each process which it is; with training.strategy=auto they share every "
        f"batch. Example: {_EXAMPLE}",
    )
    parser.add_argument(
        "--workers", type=int, default=2, metavar="N", help="how many processes (%(default)s)"
    )
    own, command = _split(argv)
    arguments = parser.parse_args(own)
    if arguments.workers < 1:
        raise UserError(
            "--workers is how many processes there are.",
            received=arguments.workers,
            expected="1 or more",
        )
    if not command:
        raise UserError("Which command?", expected="it behind --", fix=_EXAMPLE)
    sys.exit(launch(command, arguments.workers))


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Returns the arguments of launch, and the command behind `--`."""
    if "--" not in argv:
        return argv, ()
    place = list(argv).index("--")
    return argv[:place], argv[place + 1 :]
