"""A label of which no training example is left is named, wherever the last one went."""

from __future__ import annotations

import types

import numpy as np
import pytest

from kerasft.data.plan.splits import build_splits, text_hashes
from kerasft.errors import UserError
from kerasft.runs.data.lost_labels import check_no_label_is_lost

NAMES = ("billing", "cancel", "login")


def store(texts, labels):
    return types.SimpleNamespace(
        text_hashes=text_hashes([text.encode() for text in texts]), labels=np.array(labels)
    )


def check(train, tests=(), validation=None, *, kind="single", **options):
    """Splits examples of `(text, label)` and checks them; returns what was announced."""
    stores = {"train": store(*zip(*train, strict=True))}
    stores["validation"] = stores["train"]
    if validation is not None:
        stores["validation"] = store(*zip(*validation, strict=True))
    if tests:
        stores["test"] = store(*zip(*tests, strict=True))
    splits = build_splits(
        stores["train"].text_hashes,
        stores["train"].labels,
        {"test": stores["test"].text_hashes} if tests else {},
        validation_hashes=None if validation is None else stores["validation"].text_hashes,
        **options,
    )
    told = []
    source = types.SimpleNamespace(label_kind=kind, label_names=NAMES)
    hashes = {name: found.text_hashes for name, found in stores.items()}
    check_no_label_is_lost(source, stores, hashes, splits, told.append)
    return told


MANY = [(f"text {i}", 2 * (i % 2)) for i in range(60)]
RARE = [(f"stop {i}", 1) for i in range(4)]


def test_nothing_is_said_where_all_labels_are_left():
    assert check(MANY + RARE) == []


def test_all_examples_stand_in_the_test():
    with pytest.raises(UserError, match=r"no training example is left.*cancel \(4 also in test\)"):
        check(MANY + RARE, tests=MANY[:6] + RARE)


def test_all_examples_stand_in_the_given_validation():
    told = check(MANY + RARE, validation=MANY[:6] + RARE)
    assert told == [
        "warning: no training example is left of cancel (4 also in validation): it cannot be "
        "learnt."
    ]


def test_a_subset_without_the_label():
    with pytest.raises(UserError, match=r"cancel \(.*left out by data\.train_examples"):
        check(MANY + RARE, validation=[("v", 0), ("w", 2)], num_examples={"train": 4}, seed=2)


def test_a_label_that_train_never_had_is_a_warning():
    assert check(MANY) == ["warning: train has no example of cancel: the model cannot learn it."]


def test_several_labels_to_a_text():
    sets = [(text, [label == 0, 0, label == 2]) for text, label in MANY]
    rare = [(text, [1, 1, 0]) for text, _ in RARE]
    as_rows = {"kind": "multi"}
    assert check(sets + rare, **as_rows) == []
    with pytest.raises(UserError, match=r"cancel \(4 also in test\)"):
        check(sets + rare, tests=rare, **as_rows)


def test_numbers_have_no_labels_to_lose():
    check([(f"text {i}", float(i)) for i in range(20)], kind="number")
