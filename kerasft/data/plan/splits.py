"""Train, validation and test: decided by hashes of the texts, never by their order."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping

import numpy as np

from kerasft.data.plan.hold_out import hold_out
from kerasft.data.store.hashes import count_different, stand_in
from kerasft.errors import UserError

HASH_BYTES = 16
TRAIN, VALIDATION, TEST = "train", "validation", "test"


def hash_text(text: bytes, text_pair: bytes | None = None) -> bytes:
    """Returns the 16-byte blake2b digest of a text, or of a pair of texts.

    The raw bytes are hashed, before any cleaning: no setting moves an example to another split.
    """
    digest = hashlib.blake2b(text, digest_size=HASH_BYTES)
    if text_pair is not None:
        # The length keeps ("ab", "c") apart from ("a", "bc").
        digest.update(len(text).to_bytes(8, "little") + text_pair)
    return digest.digest()


def text_hashes(texts: Iterable[bytes], text_pairs: Iterable[bytes] | None = None) -> np.ndarray:
    """Returns the texts' hashes, uint8 `(num_texts, 16)`; with `text_pairs`, those of the pairs."""
    if text_pairs is None:
        digests = [hash_text(text) for text in texts]
    else:
        digests = [hash_text(*pair) for pair in zip(texts, text_pairs, strict=True)]
    return np.frombuffer(b"".join(digests), dtype=np.uint8).reshape(-1, HASH_BYTES)


def seeded_subset(hashes: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns the indices, ascending int64, of `count` examples chosen by hash and seed.

    A smaller subset of the same seed lies inside a larger one.

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


def oversample(labels: np.ndarray, indices: np.ndarray, seed: int) -> np.ndarray:
    """Returns the indices, ascending int64, with those of smaller classes repeated.

    Each class then has as many as the largest. All of its examples are repeated equally often; the
    remainder is chosen by seed. `labels` are of the whole store, int `(num_examples,)`.

    Raises:
        ValueError: If the labels are not classes, one a text.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"Only classes can be balanced. Received labels: {labels.dtype}.")
    classes, class_ids = np.unique(labels[indices], return_inverse=True)
    most = np.bincount(class_ids).max(initial=0)
    repeated = []
    for rank in range(len(classes)):
        members = indices[class_ids == rank]
        times, more = divmod(most, len(members))
        repeated += [members] * times
        if more:
            repeated.append(members[seeded_subset(members, int(more), seed)])
    return np.sort(np.concatenate([indices[:0], *repeated]))


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
    """Indices into the stores of a dataset's splits, and a report on them.

    Attributes:
        train: int64 indices into the dataset's train split.
        validation: int64 indices into the split named by `validation_store`.
        tests: int64 indices into each test split, by name; the first is named `test`.
        report: Counts by reason, shown and written alongside the metrics.
        validation_store: `train` if validation was held out of train; `validation` if the dataset
            has its own.
    """

    train: np.ndarray
    validation: np.ndarray
    tests: dict[str, np.ndarray]
    report: dict[str, int]
    validation_store: str = TRAIN


def build_splits(  # noqa: PLR0913 - the two most take defaults
    train_hashes: np.ndarray,
    train_labels: np.ndarray,
    tests: Mapping[str, np.ndarray],
    *,
    validation_hashes: np.ndarray | None = None,
    groups: Mapping[str, np.ndarray] | None = None,
    validation_fraction: float = 0.1,
    num_examples: Mapping[str, int | None] | None = None,
    keep_train_test_duplicates: bool = False,
    seed: int = 1,
) -> Splits:
    """Holds validation out of train, and removes texts of test from both.

    If the dataset has its own validation split, nothing is held out: it is kept as it is, and its
    texts are removed from train.

    Args:
        train_hashes: uint8 `(num_train, 16)`.
        train_labels: The labels of train, as in a token store.
        tests: uint8 `(num_test, 16)` by name, `test` first; may be empty.
        validation_hashes: uint8 `(num_validation, 16)`: the dataset's own validation split.
        groups: uint8 `(num_examples, 16)` by split, the hashes of the groups. None is split between
            train and validation, and those of test, or of the dataset's own validation, are removed
            from train.
        validation_fraction: The share of train used for validation: see `hold_out`.
        num_examples: How many examples to take of a split, seeded; of every test split, if only
            `test` is named. `None` or missing: all; but if only `train` is given, a validation held
            out of it shrinks in proportion.
        keep_train_test_duplicates: Remove no text and no group from train.
        seed: For the subsets. The validation split does not depend on it, so that runs with
            different seeds are compared on the same examples.

    Returns:
        The splits. A subset never moves an example between train and validation.

    Raises:
        UserError: If a split has too few examples.
    """
    given = {} if validation_hashes is None else {VALIDATION: validation_hashes}
    groups = groups or {}
    leaks = _find_leaks(train_hashes, tests, given, groups)
    leaking = np.any([*leaks.values()], axis=0)
    usable = ~leaking | keep_train_test_duplicates
    held_out = np.zeros(len(usable), bool)
    if not given:
        options = {"group_hashes": groups.get(TRAIN), "usable": None if usable.all() else usable}
        held_out = hold_out(train_hashes, train_labels, validation_fraction, **options)
    whole = {TRAIN: np.flatnonzero(usable & ~held_out), VALIDATION: np.flatnonzero(held_out)}
    whole |= {name: np.arange(len(hashes)) for name, hashes in {**given, **tests}.items()}
    _check_none_is_empty(whole, leaking.all())
    counts = _complete_counts(dict(num_examples or {}), whole, tests, held_out=not given)
    hashes = {TRAIN: train_hashes, VALIDATION: train_hashes} | given | tests
    taken = {name: _take(hashes[name], whole[name], counts.get(name), seed) for name in whole}
    report = _dataset_report(train_hashes, given, tests)
    report |= _left_out_report(leaks, keep_train_test_duplicates) | _subset_report(whole, taken)
    train, validation = taken.pop(TRAIN), taken.pop(VALIDATION)
    return Splits(train, validation, taken, report, VALIDATION if given else TRAIN)


def _find_leaks(
    train_hashes: np.ndarray,
    tests: Mapping[str, np.ndarray],
    given: Mapping[str, np.ndarray],
    groups: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Returns the examples of train whose text or group is in an evaluation split, by reason."""
    leaks = {"also_in_test": _stand_in_any(train_hashes, tests.values())}
    if given:
        leaks["also_in_validation"] = _stand_in_any(train_hashes, given.values())
    others = [groups[name] for name in (*tests, *given) if name in groups]
    if TRAIN in groups and others:
        leaks["group_elsewhere"] = _stand_in_any(groups[TRAIN], others)
    return leaks


def _stand_in_any(hashes: np.ndarray, others: Iterable[np.ndarray]) -> np.ndarray:
    mask = np.zeros(len(hashes), bool)
    for other in others:
        mask |= stand_in(hashes, other)
    return mask


def _complete_counts(
    counts: dict[str, int | None],
    whole: Mapping[str, np.ndarray],
    tests: Iterable[str],
    *,
    held_out: bool,
) -> dict[str, int | None]:
    num_train = counts.get(TRAIN)
    if held_out and num_train is not None and counts.get(VALIDATION) is None:
        ratio = len(whole[VALIDATION]) / max(1, len(whole[TRAIN]))
        most = len(whole[VALIDATION])
        counts[VALIDATION] = min(most, max(1, round(num_train * ratio)))
    return {name: counts.get(TEST) for name in tests} | counts


def _check_none_is_empty(whole: Mapping[str, np.ndarray], all_leak: bool) -> None:
    for split, indices in whole.items():
        if len(indices) == 0:
            raise UserError(
                f"The {split} split is empty.",
                received=0,
                expected="at least 1 example",
                fix="all of train stands in validation or test, too: name other data for them."
                if all_leak
                else "use more data or another data.validation_fraction.",
            )


def _take(hashes: np.ndarray, indices: np.ndarray, count: int | None, seed: int) -> np.ndarray:
    return indices if count is None else indices[seeded_subset(hashes[indices], count, seed)]


def _dataset_report(
    train_hashes: np.ndarray, given: Mapping[str, np.ndarray], tests: Mapping[str, np.ndarray]
) -> dict[str, int]:
    """Counts examples and repeated texts of the unmodified dataset."""
    splits = {TRAIN: train_hashes} | tests | given
    report = {f"{name}_examples_in_dataset": len(hashes) for name, hashes in splits.items()}
    report |= {f"{name}_distinct_texts": count_different(hashes) for name, hashes in splits.items()}
    for name, hashes in (tests | given).items():
        repeated = train_hashes[stand_in(train_hashes, hashes)]
        report[f"texts_in_train_and_{name}"] = count_different(repeated)
        report[f"train_examples_also_in_{name}"] = len(repeated)
    return report


def _left_out_report(leaks: Mapping[str, np.ndarray], kept: bool) -> dict[str, int]:
    """Counts the examples removed from train, each under its first reason."""
    report, counted = {}, np.zeros(len(leaks["also_in_test"]), bool)
    for reason, mask in leaks.items():
        report[f"train_left_out_{reason}"] = 0 if kept else int((mask & ~counted).sum())
        counted |= mask
    return report


def _subset_report(
    whole: Mapping[str, np.ndarray], taken: Mapping[str, np.ndarray]
) -> dict[str, int]:
    left_out = {name: len(whole[name]) - len(taken[name]) for name in whole}
    report = {f"{name}_left_out_by_subset": count for name, count in left_out.items()}
    return report | {f"{name}_examples": len(indices) for name, indices in taken.items()}
