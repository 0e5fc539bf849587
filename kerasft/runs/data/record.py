"""`data.json` of a run: a digest of its data, so that later changes are noticed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from kerasft.errors import UserError
from kerasft.recipe import Recipe, load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs.data.data import Data
from kerasft.runs.data.source import VALIDATION, group_hashes, split_names
from kerasft.runs.resume import DATA_PLACES, OTHER_DATA, differences

_RECORD = "data.json"
_TRAIN = "train"
_SAME_DATA = "the same texts, labels and groups in the same order; the files may lie elsewhere"


def describe_data(recipe: Recipe, data: Data, preprocessor) -> dict[str, Any]:
    """Describes a run's data by its content, without names or places of files.

    Returns:
        Plain data: for each split the number of examples and a digest of texts, labels and groups;
        the label names; a digest of the tokenizer; how many texts are near-copies of others, which
        versions before 2026-11-29 split as different texts.
    """
    names = split_names(recipe)
    groups = group_hashes(data.source, names, names[VALIDATION] != names[_TRAIN])
    splits, near_copies = {}, 0
    for split, store in data.stores.items():
        if split == VALIDATION and names[split] == names[_TRAIN]:
            continue  # held out of train
        of_groups = groups.get(split)
        near_copies += int((data.hashes[split] != store.text_hashes).any(axis=1).sum())
        splits[split] = {
            "examples": len(store),
            "texts": _digest(store.text_hashes),
            "labels": _digest(store.labels),
            "groups": None if of_groups is None else _digest(of_groups),
        }
    config = json.dumps(preprocessor.config(), sort_keys=True).encode()
    return {
        "splits": splits,
        "label_kind": data.source.label_kind,
        "label_names": list(data.source.label_names),
        "tokenizer": _digest(np.frombuffer(config, np.uint8)),
        "near_copies": near_copies,
    }


def read_data_record(folder: RunDir | None) -> dict[str, Any] | None:
    """Returns a run's data record; `None` for a new run or one of an earlier version."""
    if folder is None or not (folder.path / _RECORD).exists():
        return None
    return folder.read_json(_RECORD)


def write_data_record(folder: RunDir, record: Mapping[str, Any]) -> None:
    """Writes a data record, unless there is one already."""
    if read_data_record(folder) is None:
        folder.write_json(_RECORD, record)


def check_resumed_data(run_dir: RunDir, recipe: Recipe, now: Mapping[str, Any]) -> None:
    """Raises `UserError` if a run is resumed on other data than it started with.

    The data may have moved, but only if the run has a record of it.
    """
    changed = (key for key, _ in differences(load_recipe(run_dir.recipe_path), recipe))
    moved = [key for key in changed if re.fullmatch(DATA_PLACES, key)]
    if moved and read_data_record(run_dir) is None:
        raise UserError(
            f"The run {run_dir.path} was begun by an earlier version, which kept no description "
            "of its data: data from another place cannot be compared with it.",
            received=", ".join(moved),
            fix="put the data where it was when the run began, and leave these settings out.",
        )
    _check_same(
        run_dir,
        now,
        fix="put the data back as it was, say where it lies now "
        "(--resume RUN 'data.train_files=[\"...\"]'), or start a new run without --resume.",
    )


def check_evaluated_data(run_dir: RunDir, now: Mapping[str, Any], split: str) -> None:
    """Raises `UserError` if a split or the label names differ from the run's."""
    read = split if split in now["splits"] else _TRAIN  # validation is a part of it
    fix = "put the data back as it was, or train a new run on this data."
    _check_same(run_dir, now, splits=[read], fix=fix)


def check_exported_data(run_dir: RunDir, now: Mapping[str, Any]) -> None:
    """Raises `UserError` if an export is verified or quantized on other data than the run's."""
    _check_same(run_dir, now, fix="put the data back as it was.")


def check_data_of_series(first: RunDir, now: Mapping[str, Any]) -> None:
    """Raises `UserError` if the data differs from an earlier run of the same series or search."""
    fix = "put the data back as it was, or start anew: figures on other data cannot be compared."
    # A search may vary how texts are tokenized.
    _check_same(first, now, check_tokenizer=False, fix=fix)


def _check_same(
    folder: RunDir,
    now: Mapping[str, Any],
    *,
    splits: Collection[str] | None = None,
    check_tokenizer: bool = True,
    fix: str,
) -> None:
    """Refuses data that differs from a run's record; a run without a record accepts any."""
    before = read_data_record(folder)
    is_earlier = before is None or "near_copies" not in before
    if is_earlier and now["near_copies"] and (splits is None or _TRAIN in splits):
        raise UserError(
            f"The run {folder.path} was begun by an earlier version, which held out other "
            "validation examples.",
            received=f"{now['near_copies']:,} texts that differ from others in case, accents or "
            "blanks alone; they stay in one split now",
            fix="use the version that the run was begun with, or train a new run.",
        )
    if before is None:
        return
    changes = [*_label_changes(before, now), *_split_changes(before, now, splits)]
    if check_tokenizer and before["tokenizer"] != now["tokenizer"]:
        changes.append("another vocabulary or tokenizer")
    if changes:
        raise UserError(
            f"{OTHER_DATA} {folder.path} began with.",
            received="; ".join(changes),
            expected=_SAME_DATA,
            fix=fix,
        )


def _label_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    names = before["label_names"], now["label_names"]
    if before["label_kind"] != now["label_kind"]:
        return [f"labels of the kind {now['label_kind']} in place of {before['label_kind']}"]
    if names[0] == names[1]:
        return []
    gone = [name for name in names[0] if name not in names[1]]
    new = [name for name in names[1] if name not in names[0]]
    said = [("without", gone), ("with", new)]
    return [f"the labels {word} {', '.join(found)}" for word, found in said if found] or [
        "the labels in another order"
    ]


def _split_changes(
    before: Mapping[str, Any], now: Mapping[str, Any], splits: Collection[str] | None
) -> list[str]:
    changes = []
    for split in dict.fromkeys([*before["splits"], *now["splits"]]):
        if splits is not None and split not in splits:
            continue
        old, new = before["splits"].get(split), now["splits"].get(split)
        if old is None or new is None:
            changes.append(f"{split}: {'new' if old is None else 'gone'}")
        elif old["examples"] != new["examples"]:
            changes.append(f"{split}: {new['examples']:,} examples, {old['examples']:,} before")
        else:
            changes += [
                f"{split}: other {what}, or in another order"
                for what in ("texts", "labels", "groups")
                if old[what] != new[what]
            ]
    return changes


def _digest(array: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array), digest_size=16).hexdigest()
