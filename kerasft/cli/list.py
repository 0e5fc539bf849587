"""`kerasft list`: the recipes shipped with kerasft."""

from __future__ import annotations

from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.console import print_json
from kerasft.recipe import list_recipes


def main(argv: Sequence[str]) -> None:
    """Prints each recipe's name and purpose."""
    parser = command_parser("list")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args(argv)
    recipes = list_recipes()
    if arguments.json:
        print_json({"recipes": [recipe._asdict() for recipe in recipes]})
        return
    width = max((len(recipe.name) for recipe in recipes), default=0)
    for recipe in recipes:
        print(f"{recipe.name:<{width}}  {recipe.summary}")
