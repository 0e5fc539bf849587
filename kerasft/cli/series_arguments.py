"""Series of runs from a command line: a new one, the latest, or the one in a folder."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from kerasft.console import log
from kerasft.errors import UserError
from kerasft.runs.arguments import refuse_overrides
from kerasft.runs.terminal import build_progress
from kerasft.studies.series import Reporting, Series, is_series, open_named_series


def wants_series(arguments: argparse.Namespace, num_recipes: int = 1) -> bool:
    """Returns whether a command line asks for several runs (`seeds`, `resume`, several recipes)."""
    resume = arguments.resume
    of_series = isinstance(resume, str) and is_series(resume)
    return arguments.seeds is not None or num_recipes > 1 or of_series


def choose_series(
    arguments: argparse.Namespace,
    name: str,
    recipes: Sequence[str],
    plan: Callable[[], Series],
    open_named: Callable[..., Series] = open_named_series,
) -> Series:
    """Returns the series to run: a new one, not begun yet, or one to resume.

    Args:
        arguments: `seeds`, `resume`, `overrides` and `runs_folder`.
        name: Prefix of the folder names; see `Series.begin`.
        recipes: The recipes that are named.
        plan: Makes a new series from the command line.
        open_named: Opens the series in a folder, and rejects arguments that differ from it.

    Raises:
        UserError: For a mistake in the arguments, or if there is nothing to resume.
    """
    seeds = arguments.seeds
    if seeds is not None and seeds < 1:
        raise UserError("--seeds is how many there are.", received=seeds, expected="1 or more")
    if arguments.resume is None:
        return plan()
    refuse_overrides(arguments)
    if isinstance(arguments.resume, str):
        return open_named(arguments.resume, name, recipes, seeds)
    return plan().latest(name, arguments.runs_folder)


def reporting_to(arguments: argparse.Namespace, command: str) -> Reporting:
    """Returns how a series is reported on the terminal; `command` is shown to resume it."""
    return Reporting(command, log, lambda recipe: [build_progress(recipe, plain=arguments.json)])
