"""The `kerasft` command: dispatches to the module of the sub-command.

A sub-command is a module here of the same name (dashes become underscores) with `main(argv)`. It is
imported only when it is called, and imports TensorFlow only when necessary.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from kerasft import __version__
from kerasft.errors import UserError, nearest

COMMANDS = {
    "list": "list the recipes that come with kerasft",
    "show": "show a recipe with all of its settings",
    "run": "run a recipe: data, training, evaluation, export",
    "tokenize": "tokenize a recipe's texts ahead of its run, by many processes",
    "launch": "run a command as several processes that train together",
    "find-lr": "find a learning rate for a recipe, by the range test",
    "learning-curve": "measure how a recipe gets on with fewer and with more training examples",
    "tune": "search settings of a recipe: trials, finals with several seeds, one look at the test",
    "compare": "compare runs: settings, metrics, and whether a difference is noise",
    "evaluate": "evaluate a run's best checkpoint again",
    "export": "export a run's best checkpoint again",
    "audit": "say which stock TensorFlow Serving runs a SavedModel, and what is in the way",
    "predict": "ask an exported or a served model about texts",
    "serve": "serve exported models over REST and gRPC",
    "inspect": "look over files of texts and labels before training on them",
    "presets": "list the pretrained encoders, and say which to choose for what",
    "doctor": "look over this installation, and say what is missing",
}


def main(argv: Sequence[str]) -> None:
    """Runs the sub-command named by the first argument."""
    if not argv or argv[0].startswith("-"):
        parser = _build_parser()
        parser.parse_args(argv)  # handles --help and --version, rejects other options
        parser.print_help(sys.stderr)
        sys.exit(2)
    command, *arguments = argv
    if command not in COMMANDS:
        raise UserError(
            f"There is no such command.{nearest(command, COMMANDS)}",
            received=command,
            expected=f"one of {', '.join(COMMANDS)}",
            fix="kerasft --help",
        )
    importlib.import_module(f"kerasft.cli.{command.replace('-', '_')}").main(arguments)


def command_parser(command: str, more: str = "") -> argparse.ArgumentParser:
    """Returns the parser of a sub-command; `more` is help text beyond its line in `COMMANDS`."""
    summary = COMMANDS[command]
    return argparse.ArgumentParser(
        prog=f"kerasft {command}",
        description=f"{summary[0].upper()}{summary[1:]}. {more}".strip(),
        allow_abbrev=False,
    )


def _build_parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="kerasft",
        usage="kerasft [--help] [--version] COMMAND ...",
        description="Fine-tunes a text encoder by a recipe, and asks what it has learnt.",
        epilog=f"commands:\n{listed}\n\nkerasft COMMAND --help tells more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"kerasft {__version__}")
    return parser
