"""`kerasft tokenize`: tokenizes a recipe's texts ahead of its run, in many processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from kerasft.cli import command_parser
from kerasft.console import log, print_json, results_only
from kerasft.errors import UserError
from kerasft.recipe import load_recipe
from kerasft.recipe.conflicts import require_train_files

_PARTS_A_PROCESS = 4  # so that a slow part delays few others


def main(argv: Sequence[str]) -> None:
    """Tokenizes and prints the location of each store."""
    parser = command_parser(
        "tokenize",
        "A run does so itself, in one process; this does it ahead. What was done before an "
        "interruption is not done again. On several machines, give each another --shard, then run "
        "the command without it.",
    )
    parser.add_argument("recipe", metavar="RECIPE", help="name of a recipe, or a TOML file")
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="settings to replace"
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="processes at a time; else one a core"
    )
    parser.add_argument(
        "--shards", type=int, metavar="N", help="parts of each split; else 4 a process"
    )
    parser.add_argument("--shard", metavar="I/N", help="tokenize part I of N alone, from 0")
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    arguments = parser.parse_intermixed_args(argv)
    for name in ("processes", "shards"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} is a number of them.", received=value, expected="1 or more")
    shard = None if arguments.shard is None else _read_shard(arguments.shard)
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    require_train_files(recipe)
    start = time.monotonic()
    with results_only():
        from kerasft.runs.data import tokenizing

        if shard is not None:
            tokenizing.tokenize_shard(recipe, tokenizing.Shard(*shard), log)
            return
        processes = arguments.processes or tokenizing.usable_processes()
        shards = arguments.shards or _PARTS_A_PROCESS * processes
        whole = tokenizing.is_tokenized(recipe, log)
        if not whole:
            tokenizing.run_shards([arguments.recipe, *arguments.overrides], shards, processes)
        found = tokenizing.merge(recipe, log, verified=whole)
    seconds = time.monotonic() - start
    if arguments.json:
        print_json({"stores": [each._asdict() for each in found], "seconds": seconds})
        return
    for each in found:
        line = f"{each.split:<12} {each.examples:>12,} examples {each.tokens:>16,} tokens"
        sys.stdout.write(f"{line}  {each.folder}\n")


def _read_shard(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UserError("--shard is no part.", received=text, expected="such as 0/8, up to 7/8")
    return int(index), int(count)
