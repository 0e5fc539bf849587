"""Tables of preformatted text cells, for the terminal and as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

_MARKDOWN_SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\|<*`[]"} | {"\n": " ", "\r": " "})


def build_table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    text_columns: int = 1,
    wrap: bool = True,
) -> Table:
    """Builds a table for the terminal: text columns left-aligned, figures right-aligned.

    The first `text_columns` columns hold text. Without `wrap`, cells that are too wide are cut.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Cells are Text, never str: a label called "[red]" is not markup.
    table = Table(box=box.HORIZONTALS)
    for index, name in enumerate(header):
        side = "left" if index < text_columns else "right"
        overflow = "fold" if wrap else "ellipsis"
        table.add_column(Text(name), justify=side, overflow=overflow, no_wrap=not wrap)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def print_table(table: Table) -> None:
    """Prints a table of `build_table` to stdout."""
    from rich.console import Console

    Console(file=sys.stdout).print(table)


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, numeric: bool = True
) -> str:
    """Returns a Markdown table, padded so that the source is aligned, too.

    `numeric` right-aligns all columns but the first.
    """
    lines = [[escape_markdown(cell) for cell in line] for line in (header, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*lines, strict=True)]
    sides = ["<", *(">" if numeric else "<") * (len(widths) - 1)]
    rule = [
        "-" * (w - 1) + (":" if side == ">" else "-") for w, side in zip(widths, sides, strict=True)
    ]
    return "\n".join(
        f"| {' | '.join(f'{c:{s}{w}}' for c, s, w in zip(line, sides, widths, strict=True))} |"
        for line in (lines[0], rule, *lines[1:])
    )


def escape_markdown(text: str) -> str:
    """Returns a text on one line, with Markdown markup escaped."""
    return text.translate(_MARKDOWN_SPECIAL)
