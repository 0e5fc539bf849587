"""Tokenizes a recipe's data ahead of its run, in parts and in several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from kerasft.data.store.token_shards import complete_shards, write_shard
from kerasft.data.store.token_store import load_or_build_token_store, store_place
from kerasft.data.store.token_writer import Shard
from kerasft.errors import UserError
from kerasft.recipe import Recipe
from kerasft.runs.data.data import plan_stores
from kerasft.runs.data.source import open_source, split_names
from kerasft.runs.model.assembly import build_preprocessor, load_recipe_preset


class Tokenized(NamedTuple):
    """A token store, under the run's name of its split (the first of those that share it)."""

    split: str
    examples: int
    tokens: int
    folder: str


def tokenize_shard(recipe: Recipe, shard: Shard, log: Callable[[str], None]) -> None:
    """Tokenizes one part of every split of a recipe; existing parts are kept."""
    source, plan = _open(recipe, log)
    for split, (own, preprocessor, store) in plan.items():
        if store.exists():
            log(f"{split}: tokenized before.")
        elif write_shard(source, own, preprocessor, store, shard):
            log(f"{split}: part {shard.index + 1} of {shard.count}.")
        else:
            log(f"{split}: part {shard.index + 1} of {shard.count} was there.")


def is_tokenized(recipe: Recipe, log: Callable[[str], None]) -> bool:
    """Returns whether nothing is left to tokenize: each store, or all of its parts, is intact.

    The parts are verified only when none is missing; a damaged one is removed.
    """
    _, plan = _open(recipe, log)
    places = [place for _, _, place in plan.values() if not place.exists()]
    return all(complete_shards(place, verify=False) for place in places) and all(
        map(complete_shards, places)
    )


def merge(recipe: Recipe, log: Callable[[str], None], *, verified: bool = False) -> list[Tokenized]:
    """Merges the parts of every split; tokenizes splits that have none.

    `verified`: `is_tokenized` has just verified the parts.
    """
    source, plan = _open(recipe, log)
    found = []
    for split, (own, preprocessor, place) in plan.items():
        store = load_or_build_token_store(
            source, own, preprocessor=preprocessor, log=log, verify_parts=not verified
        )
        found.append(Tokenized(split, len(store), len(store.token_ids), str(place)))
    return found


def run_shards(arguments: Sequence[str], count: int, processes: int) -> None:
    """Runs `kerasft tokenize ... --shard i/count` for every part, `processes` at a time.

    Raises `UserError` if a part failed, when the parts already started are finished.
    """
    waiting, running, failed = list(range(count)), {}, {}
    try:
        while (waiting and not failed) or running:
            while waiting and not failed and len(running) < processes:
                index = waiting.pop(0)
                command = [sys.executable, "-m", "kerasft", "tokenize", *arguments]
                command += ["--shard", f"{index}/{count}"]
                running[index] = subprocess.Popen(command, stdout=subprocess.DEVNULL)
            index, process = next(iter(running.items()))
            code = process.wait()
            del running[index]
            if code:
                failed[index] = code
    except BaseException:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
        raise
    if failed:
        raise UserError(
            f"Tokenizing failed in part {min(failed)} of {count}.",
            received=f"exit code {failed[min(failed)]}",
            fix="mend what it said above, and run the command again: parts that are done stay.",
        )


def usable_processes() -> int:
    """Returns how many processes may run in parallel here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open(recipe: Recipe, log: Callable[[str], None]):
    """Opens the source; returns the split, preprocessor and folder of each distinct token store."""
    source = open_source(recipe, log=log)
    whole = build_preprocessor(recipe, load_recipe_preset(recipe, dtype="float32"))
    plan, seen = {}, set()
    for split, (own, preprocessor) in plan_stores(recipe, whole, split_names(recipe)).items():
        place = store_place(source, own, preprocessor)
        if place not in seen:
            seen.add(place)
            plan[split] = own, preprocessor, place
    return source, plan
