"""Checks that each label has a training example left after splitting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from kerasft.data.example import NUMBER
from kerasft.data.plan.splits import VALIDATION, Splits
from kerasft.data.sources.source import Source
from kerasft.data.store.hashes import stand_in
from kerasft.data.store.token_store import TokenStore
from kerasft.errors import UserError

_MOST_NAMED = 5
_TRAIN = "train"


def check_no_label_is_lost(
    source: Source,
    stores: Mapping[str, TokenStore],
    hashes: Mapping[str, np.ndarray],
    splits: Splits,
    log: Callable[[str], object],
) -> None:
    """Refuses splits that leave a label without any training example.

    Labels that training never had, or that only validation has, are logged: their metrics show
    that they were not learnt.

    Raises:
        UserError: A label of the train store is in neither the train nor the validation split.
    """
    if source.label_kind == NUMBER:
        return
    num_labels = len(source.label_names)
    used = _counts(stores[_TRAIN].labels[splits.train], num_labels)
    known = _counts(stores[_TRAIN].labels, num_labels)
    validated = _counts(stores[VALIDATION].labels[splits.validation], num_labels)
    refused = []
    for label in np.flatnonzero(used == 0):
        name = source.label_names[label]
        if not known[label]:
            log(f"warning: train has no example of {name}: the model cannot learn it.")
            continue
        told = f"{name} ({', '.join(_where(label, stores, hashes, splits))})"
        if validated[label]:
            log(f"warning: no training example is left of {told}: it cannot be learnt.")
        else:
            refused.append(told)
    if refused:
        more = "; ..." if len(refused) > _MOST_NAMED else ""
        raise UserError(
            "Labels of which no training example is left.",
            received="; ".join(refused[:_MOST_NAMED]) + more,
            expected="at least one training example of each label",
            fix="add examples of them, take their texts out of the split that they also stand in, "
            "raise data.train_examples, or take these labels out of the data.",
        )


def _where(
    label: int,
    stores: Mapping[str, TokenStore],
    hashes: Mapping[str, np.ndarray],
    splits: Splits,
) -> Iterator[str]:
    """Yields the places where a label's examples went, with counts."""
    rows = np.flatnonzero(_has(stores[_TRAIN].labels, label))
    own = hashes[_TRAIN][rows]
    counted = np.zeros(len(rows), bool)
    places = {"also in test": np.zeros(len(rows), bool)}
    for name in splits.tests:
        places["also in test"] |= stand_in(own, hashes[name])
    if splits.validation_store == VALIDATION:
        places["also in validation"] = stand_in(own, hashes[VALIDATION])
    else:
        places["held out for validation"] = np.isin(rows, splits.validation)
    places["left out by data.train_examples or a group"] = np.ones(len(rows), bool)
    for place, mask in places.items():
        number = int((mask & ~counted).sum())
        counted |= mask
        if number:
            yield f"{number:,} {place}"


def _has(labels: np.ndarray, label: int) -> np.ndarray:
    return labels[:, label] != 0 if labels.ndim > 1 else labels == label


def _counts(labels: np.ndarray, num_labels: int) -> np.ndarray:
    """Returns the number of examples of each label, int `(num_labels,)`."""
    if labels.ndim > 1:
        return np.count_nonzero(labels, axis=0)
    return np.bincount(labels[labels >= 0], minlength=num_labels)
