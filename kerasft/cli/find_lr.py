"""`kerasft find-lr`: suggests a learning rate for a recipe by a range test."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.console import print_json, print_lines, program, results_only
from kerasft.recipe import load_recipe
from kerasft.recipe.conflicts import require_train_files
from kerasft.runs.terminal import build_progress
from kerasft.studies.lr_finder.search import RateRange, RateSearch, find_learning_rate

_USUAL = RateRange()


def main(argv: Sequence[str]) -> None:
    """Runs the test and prints the suggestion as a setting to paste."""
    parser = command_parser(
        "find-lr",
        "The rate rises from step to step until the loss diverges; suggested is the rate at which "
        "it falls most steeply. Nothing that is trained is kept.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or a TOML file")
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="settings to replace"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=_USUAL.num_steps,
        metavar="N",
        help="steps from the lowest to the highest rate (%(default)s)",
    )
    for name in ("lowest", "highest"):
        parser.add_argument(
            f"--{name}",
            type=float,
            default=getattr(_USUAL, name),
            metavar="RATE",
            help=f"{name} rate (%(default)g)",
        )
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    arguments = parser.parse_intermixed_args(argv)
    rates = RateRange(arguments.lowest, arguments.highest, arguments.steps)
    rates.check()
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    require_train_files(recipe)
    with results_only():
        search = find_learning_rate(
            recipe, rates, callbacks=[build_progress(recipe=None, plain=arguments.json)]
        )
    if arguments.json:
        print_json(search.to_json())
    else:
        _print(search, arguments.recipe, arguments.overrides)


def _print(search: RateSearch, recipe: str, overrides: Sequence[str]) -> None:
    """Prints for people, with the setting alone on its line."""
    suggestion, settings = search.suggestion, search.overrides
    if settings:
        print_lines([*settings, suggestion.reason])
    else:
        print_lines(["No learning rate is suggested.", suggestion.reason])
    print_lines(
        ["", f"curve      {search.csv_path}", f"plot       {search.plot_path}", "", "Next:"]
    )
    folder = shlex.quote(str(search.folder.path.parent))
    commands = [f"{program('tensorboard')} --logdir {folder}"]
    if settings:
        kept = [text for text in overrides if text.partition("=")[0].strip() not in search.settings]
        commands.insert(0, f"{program('kerasft')} run {shlex.join([recipe, *kept, *settings])}")
    print_lines([f"  {command}" for command in commands])
