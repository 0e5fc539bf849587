"""`kerasft show`: a recipe with all of its settings, each explained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kerasft.cli import command_parser
from kerasft.recipe import Recipe, describe_fields, load_recipe, space_to_toml

_COMMENT_COLUMN = 42


def main(argv: Sequence[str]) -> None:
    """Prints the recipe as TOML that can be saved and run as it is."""
    parser = command_parser("show", "What it prints is a recipe again: kerasft show imdb > my.toml")
    parser.add_argument("recipe", help="name of a recipe, or a TOML file")
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="settings to replace"
    )
    arguments = parser.parse_intermixed_args(argv)
    print("\n".join(annotate(load_recipe(arguments.recipe, arguments.overrides))))


def annotate(recipe: Recipe) -> Iterator[str]:
    """Yields the lines of a recipe's TOML, each setting with its help, including unset ones."""
    head, *tables = recipe.to_toml().split("\n\n")
    # Without the name: a saved copy takes the name of its file, not of the shipped recipe.
    yield from (line for line in head.splitlines() if not line.startswith("name = "))
    written = {  # "section.key" -> "key = literal"
        f"{title.strip('[]')}.{line.partition(' = ')[0]}": line.removesuffix("  # overridden")
        for title, *lines in (table.splitlines() for table in tables)
        for line in lines
    }
    section = None
    for setting in describe_fields():
        if setting.section != section:
            section = setting.section
            yield from ("", f"[{section}]")
        line = written.get(setting.name, f"# {setting.key} =")
        note = "Overridden. " if setting.name in recipe.overridden else ""
        yield f"{line:<{_COMMENT_COLUMN}}  # {note}{setting.help}"
    if recipe.tuning:
        yield from ("", *space_to_toml(recipe.tuning).splitlines())
