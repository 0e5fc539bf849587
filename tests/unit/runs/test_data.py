"""The data of a run: which splits, which labels, how much an example counts."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.runs.data import data as run_data


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({}, {"train": "train", "validation": "train", "test": "test"}),
        (
            {"data.test_splits": ("validation_matched", "validation_mismatched")},
            {
                "train": "train",
                "validation": "train",
                "test": "validation_matched",
                "test_validation_mismatched": "validation_mismatched",
            },
        ),
        (
            {"data.validation_split": "dev", "data.test_splits": ()},
            {"train": "train", "validation": "dev"},
        ),
        (
            {"data.dataset": "files", "data.train_files": ("a.csv",)},
            {"train": "train", "validation": "train"},
        ),
        (
            {
                "data.dataset": "files",
                "data.train_files": ("a.csv",),
                "data.validation_files": ("b.csv",),
                "data.test_files": ("c.csv",),
            },
            {"train": "train", "validation": "validation", "test": "test"},
        ),
    ],
)
def test_split_names(make_recipe, overrides, names):
    assert run_data.split_names(make_recipe(overrides)) == names


def test_classes_are_weighed_in_the_batches(make_context):
    context = make_context({"training.class_weights": {"neg": 3}})
    batches = run_data.train_batches(
        context.data, context.plan, total_steps=2, replicas=1, weights=context.example_weights
    )
    for _, labels, weights in batches(0):
        assert weights.numpy().tolist() == np.where(labels.numpy() == 0, 3.0, 1.0).tolist()


def test_oversampling_makes_the_classes_equal(make_context):
    context = make_context({"data.oversample": True, "data.train_examples": 41})
    counts = np.bincount(context.data.labels("train"))
    assert counts[0] == counts[1] > 20
    plain = make_context({"data.train_examples": 41})
    assert len(set(np.bincount(plain.data.labels("train")))) == 2  # control: they were unequal
    assert np.isin(context.data.splits.train, plain.data.splits.train).all()
    assert context.plan.steps_per_epoch == -(-counts.sum() // 8)


def test_balanced_classes_are_headed_by_macro_f1(make_context):
    context = make_context({"training.class_weights": "balanced"})
    assert context.task.headline == "f1_macro"
    assert context.monitor == "validation/f1_macro"


def test_hidden_labels_are_refused(make_context, monkeypatch):
    monkeypatch.setattr(run_data, "load_or_build_token_store", _hide(run_data))
    expected = r"labels of the split test are hidden.*Received: '600 of 600.*test_splits="
    with pytest.raises(UserError, match=expected):
        make_context({"data.test_examples": None})


def _hide(module):
    """Opens token stores as ever, but with the labels of test hidden, as GLUE's are."""
    import dataclasses

    load = module.load_or_build_token_store

    def load_hidden(source, split, **options):
        store = load(source, split, **options)
        if split == "test":
            store = dataclasses.replace(store, labels=np.full_like(store.labels, -1))
        return store

    return load_hidden


def test_a_run_without_test_splits_ends_with_validation(make_context):
    context = make_context({"data.test_splits": ()})
    assert context.data.test_names == ()
    assert set(context.data.stores) == {"train", "validation"}


def test_near_copies_stay_in_one_split_and_are_left_out_if_they_stand_in_test(make_context):
    rows = [(f"A quiet film, number {i} of many", i % 2) for i in range(60)]
    loud = [(f"a QUIET  film , number {i} of many", label) for i, (_, label) in enumerate(rows)]
    for name, lines in (("train.csv", rows + loud), ("test.csv", loud[:6])):
        with open(name, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *lines])
    files = {"data.dataset": "files", "data.test_examples": None, "data.train_examples": None}
    context = make_context(
        files | {"data.train_files": ["train.csv"], "data.test_files": ["test.csv"]}
    )
    splits = context.data.splits
    assert splits.report["train_left_out_also_in_test"] == 12
    assert {*splits.validation % 60}.isdisjoint(splits.train % 60)
    assert len(splits.validation) == 2 * len({*splits.validation % 60}) > 0
