"""The `kerasft` command, also as `python -m kerasft`."""

from __future__ import annotations

import sys

from kerasft import cli
from kerasft.console import run_guarded


def main() -> int:
    """Runs the command in `sys.argv`; returns the exit code."""
    return run_guarded(lambda: cli.main(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
