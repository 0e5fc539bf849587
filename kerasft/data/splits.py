"""Who trains, who validates, who tests: decided by hashes of the texts, never by their order."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from kerasft.errors import UserError

HASH_BYTES = 16


def hash_text(text: bytes, text_pair: bytes | None = None) -> bytes:
    """Returns the 16-byte blake2b digest that stands for a text, or for a pair of texts.

    The raw bytes are hashed, before any cleaning: no setting moves an example to another split.
    """
    digest = hashlib.blake2b(text, digest_size=HASH_BYTES)
    if text_pair is not None:
        # The length keeps ("ab", "c") apart from ("a", "bc").
        digest.update(len(text).to_bytes(8, "little") + text_pair)
    return digest.digest()


def text_hashes(texts: Iterable[bytes], text_pairs: Iterable[bytes] | None = None) -> np.ndarray:
    """Returns the texts' hashes, uint8 of shape `(num_texts, 16)`.

    Args:
        texts: UTF-8 bytes.
        text_pairs: Second texts, as many as `texts`, when examples are pairs.
    """
    if text_pairs is None:
        digests = [hash_text(text) for text in texts]
    else:
        digests = [hash_text(*pair) for pair in zip(texts, text_pairs, strict=True)]
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, HASH_BYTES)


def validation_mask(hashes: np.ndarray, labels: np.ndarray, fraction: float) -> np.ndarray:
    """Returns bool of shape `(num_examples,)`: true where the example belongs to validation.

    Texts are visited in the order of their hashes, which no machine or file order changes, and
    taken while no class exceeds its share. Equal texts go together, whatever their labels.

    Args:
        hashes: uint8 of shape `(num_examples, 16)`, from `text_hashes`.
        labels: int of shape `(num_examples,)`.
        fraction: The share of each class, between 0 and 1; met within rounding.

    Raises:
        UserError: If `fraction` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise UserError(
            "validation_fraction is out of range.",
            received=fraction,
            expected="a number between 0 and 1, exclusive",
        )
    classes, class_ids = np.unique(labels, return_inverse=True)
    room = np.floor(np.bincount(class_ids, minlength=len(classes)) * fraction + 0.5)
    mask = np.zeros(len(hashes), dtype=bool)
    for members in _groups_of_equal(hashes):
        counts = np.bincount(class_ids[members], minlength=len(classes))
        if np.all(counts <= room):
            room -= counts
            mask[members] = True
    return mask


def seeded_subset(hashes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns the indices, ascending int64, of `count` examples chosen by hash and seed.

    A smaller subset of the same seed lies inside a larger one.

    Args:
        hashes: uint8 of shape `(num_examples, 16)`, from `text_hashes`.
        count: How many to take.
        seed: Another seed is another choice.

    Raises:
        UserError: If there are fewer than `count` examples, or `count` is smaller than 1.
    """
    if not 1 <= count <= len(hashes):
        raise UserError(
            "A subset of that size cannot be taken.",
            received=count,
            expected=f"from 1 to {len(hashes)} examples",
            fix="lower data.train_examples or data.test_examples, or leave it out to take all.",
        )
    key = seed.to_bytes(16, "little", signed=True)
    ranks = [hashlib.blake2b(row.tobytes(), digest_size=8, key=key).digest() for row in hashes]
    order = sorted(range(len(ranks)), key=ranks.__getitem__)  # stable: equal texts by position
    return np.sort(np.array(order[:count], dtype=np.int64))


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """Indices into the train and test stores, and how they came about.

    Attributes:
        train: int64 indices into the dataset's train split.
        validation: int64 indices into the dataset's train split, too.
        test: int64 indices into the dataset's test split.
        report: Counts by reason, to be shown and written beside the metrics.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    report: dict[str, int]


def build_splits(
    train_hashes: np.ndarray,
    train_labels: np.ndarray,
    test_hashes: np.ndarray,
    *,
    validation_fraction: float = 0.1,
    num_examples: Mapping[str, int | None] | None = None,
    keep_train_test_duplicates: bool = False,
    seed: int = 1,
) -> Splits:
    """Takes validation out of train, and texts that stand in test out of both.

    Args:
        train_hashes: uint8 of shape `(num_train, 16)`.
        train_labels: int of shape `(num_train,)`.
        test_hashes: uint8 of shape `(num_test, 16)`.
        validation_fraction: The share of train that validates, stratified by class.
        num_examples: How many examples to take of `train`, `validation` or `test`, seeded. A
            split that is `None` or not named is taken whole; but when only `train` is given,
            validation shrinks with it and stays `validation_fraction` of the two together.
        keep_train_test_duplicates: Train on texts that the test split holds, too.
        seed: For the subsets. The validation split does not depend on it, so that runs with
            different seeds are compared on the same examples.

    Returns:
        The splits. A subset never moves an example between train and validation.

    Raises:
        UserError: If a split has too few examples for what is asked.
    """
    in_test = np.isin(_as_keys(train_hashes), _as_keys(test_hashes))
    usable = np.flatnonzero(~in_test | keep_train_test_duplicates)
    mask = validation_mask(train_hashes[usable], train_labels[usable], validation_fraction)
    whole = {
        "train": usable[~mask],
        "validation": usable[mask],
        "test": np.arange(len(test_hashes)),
    }
    counts = _with_validation_count(dict(num_examples or {}), whole)
    taken = {
        split: _take(test_hashes if split == "test" else train_hashes, indices, counts, split, seed)
        for split, indices in whole.items()
    }
    report = {
        **_duplicates_report(train_hashes, test_hashes, in_test),
        "train_left_out_also_in_test": len(train_hashes) - len(usable),
        **{f"{split}_left_out_by_subset": len(whole[split]) - len(taken[split]) for split in whole},
        **{f"{split}_examples": len(taken[split]) for split in whole},
    }
    return Splits(**taken, report=report)


def _with_validation_count(
    counts: dict[str, int | None], whole: Mapping[str, np.ndarray]
) -> dict[str, int | None]:
    num_train = counts.get("train")
    if num_train is not None and counts.get("validation") is None:
        ratio = len(whole["validation"]) / max(1, len(whole["train"]))
        most = len(whole["validation"])
        counts["validation"] = min(most, max(1, round(num_train * ratio)))
    return counts


def _take(
    hashes: np.ndarray,
    indices: np.ndarray,
    counts: Mapping[str, int | None],
    split: str,
    seed: int,
) -> np.ndarray:
    if len(indices) == 0:
        raise UserError(
            f"The {split} split is empty.",
            received=0,
            expected="at least 1 example",
            fix="use more data or another data.validation_fraction.",
        )
    count = counts.get(split)
    return indices if count is None else indices[seeded_subset(hashes[indices], count, seed)]


def _duplicates_report(
    train_hashes: np.ndarray, test_hashes: np.ndarray, in_test: np.ndarray
) -> dict[str, int]:
    train_keys, test_keys = _as_keys(train_hashes), _as_keys(test_hashes)
    return {
        "train_examples_in_dataset": len(train_keys),
        "test_examples_in_dataset": len(test_keys),
        "train_distinct_texts": len(np.unique(train_keys)),
        "test_distinct_texts": len(np.unique(test_keys)),
        "texts_in_train_and_test": len(np.unique(train_keys[in_test])),
        "train_examples_also_in_test": int(in_test.sum()),
    }


def _groups_of_equal(hashes: np.ndarray) -> list[np.ndarray]:
    """Returns the indices of equal hashes together, in the order of the hashes."""
    keys = _as_keys(hashes)
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    return np.split(order, starts) if len(order) else []


def _as_keys(hashes: np.ndarray) -> np.ndarray:
    """Views each hash as one comparable value, as its bytes are ordered on every machine."""
    return np.ascontiguousarray(hashes).view(f"V{HASH_BYTES}").ravel()
