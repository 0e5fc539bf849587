import numpy as np
import pytest

from kerasft.data.plan.splits import build_splits, hash_text, oversample, seeded_subset, text_hashes
from kerasft.errors import UserError


def hashes_of(*texts):
    return text_hashes([str(text).encode() for text in texts])


def test_hashes_are_blake2b_of_the_raw_bytes():
    hashes = text_hashes([b"a quiet film", b"a quiet film ", b"a quiet film"])
    assert hashes.shape == (3, 16)
    assert hashes.dtype == np.uint8
    # b2sum -l 128, so that any tool can check a split.
    assert hashes[0].tobytes() == hash_text(b"a quiet film")
    assert hash_text(b"").hex() == "cae66941d9efbd404e4d88758ea67670"
    assert hashes[0].tobytes() == hashes[2].tobytes() != hashes[1].tobytes()


def test_pairs_are_hashed_with_their_border():
    hashes = text_hashes([b"ab", b"a", b"ab"], [b"c", b"bc", b"c"])
    assert hashes[0].tobytes() == hashes[2].tobytes() != hashes[1].tobytes()
    assert hash_text(b"ab", b"") != hash_text(b"ab")


def test_a_subset_is_the_same_on_every_machine():
    assert seeded_subset(hashes_of(*range(20)), 4, seed=1).tolist() == [9, 11, 12, 15]


def test_subsets_are_seeded_and_nested():
    hashes = hashes_of(*range(300))
    small, large = seeded_subset(hashes, 20, seed=1), seeded_subset(hashes, 100, seed=1)
    assert len(set(small)) == 20
    assert set(small) < set(large)
    assert np.all(np.diff(large) > 0)
    assert set(seeded_subset(hashes, 20, seed=2)) != set(small)
    np.testing.assert_array_equal(seeded_subset(hashes, 300, seed=3), np.arange(300))


def build(num_train=100, in_test=5, **settings):
    """100 train texts, two of them repeats, five of them in a test split of 50."""
    train = [*range(num_train - 2), 97, 97]
    test = [*range(in_test), *range(1000, 1050 - in_test)]
    return build_splits(
        hashes_of(*train), np.arange(num_train) % 2, {"test": hashes_of(*test)}, **settings
    )


def test_texts_of_test_are_counted_and_left_out():
    splits = build(validation_fraction=0.2)
    assert not {0, 1, 2, 3, 4} & {*splits.train, *splits.validation}
    assert splits.report == {
        "train_examples_in_dataset": 100,
        "test_examples_in_dataset": 50,
        "train_distinct_texts": 98,
        "test_distinct_texts": 50,
        "texts_in_train_and_test": 5,
        "train_examples_also_in_test": 5,
        "train_left_out_also_in_test": 5,
        "train_left_out_by_subset": 0,
        "validation_left_out_by_subset": 0,
        "test_left_out_by_subset": 0,
        "train_examples": 76,
        "validation_examples": 19,
        "test_examples": 50,
    }
    kept = build(keep_train_test_duplicates=True)
    together = np.sort(np.concatenate([kept.train, kept.validation]))
    np.testing.assert_array_equal(together, np.arange(100))
    assert kept.report["train_examples_also_in_test"] == 5
    assert kept.report["train_left_out_also_in_test"] == 0


def test_subsets_move_nothing_between_train_and_validation():
    whole = build(validation_fraction=0.2)
    part = build(validation_fraction=0.2, num_examples={"train": 40, "test": 7}, seed=3)
    assert len(part.train) == 40
    assert len(part.validation) == 10  # shrinks with train: a fifth of the two together
    assert len(part.tests["test"]) == 7
    assert set(part.train) < set(whole.train)
    assert set(part.validation) < set(whole.validation)
    assert part.report["train_left_out_by_subset"] == 36
    sized = build(validation_fraction=0.2, num_examples={"train": 40, "validation": 15})
    assert (len(sized.train), len(sized.validation), len(sized.tests["test"])) == (40, 15, 50)


def test_validation_does_not_depend_on_the_seed():
    np.testing.assert_array_equal(build(seed=1).validation, build(seed=2).validation)


def test_validation_that_the_dataset_brings():
    splits = build(validation_hashes=hashes_of(5, 6, 1000, 2000), num_examples={"train": 40})
    assert splits.validation_store == "validation"
    assert splits.validation.tolist() == [0, 1, 2, 3]  # as it came, and not shrunk with train
    assert len(splits.train) == 40
    assert not {0, 1, 2, 3, 4, 5, 6} & {*splits.train}
    report = splits.report
    assert report["validation_examples_in_dataset"] == 4
    assert report["texts_in_train_and_validation"] == 2
    assert report["train_left_out_also_in_test"] == 5
    assert report["train_left_out_also_in_validation"] == 2
    assert build().validation_store == "train"  # control: held out
    kept = build(validation_hashes=hashes_of(5, 6), keep_train_test_duplicates=True)
    assert kept.train.tolist() == list(range(100))
    assert kept.report["train_left_out_also_in_validation"] == 0
    assert kept.report["train_examples_also_in_validation"] == 2


def test_several_splits_to_test_on():
    tests = {"test": hashes_of(0, 1, 500), "test_hard": hashes_of(2, 600, 601, 602)}
    splits = build_splits(hashes_of(*range(100)), np.arange(100) % 2, tests)
    assert {name: len(indices) for name, indices in splits.tests.items()} == {
        "test": 3,
        "test_hard": 4,
    }
    assert not {0, 1, 2} & {*splits.train, *splits.validation}
    assert splits.report["train_examples_also_in_test"] == 2
    assert splits.report["train_examples_also_in_test_hard"] == 1
    assert splits.report["train_left_out_also_in_test"] == 3


def test_a_count_for_test_is_one_for_each_split_to_test_on():
    tests = {"test": hashes_of(500, 501, 502), "test_hard": hashes_of(*range(600, 610))}
    train = hashes_of(*range(100)), np.arange(100) % 2
    splits = build_splits(*train, tests, num_examples={"test": 2})
    assert [len(indices) for indices in splits.tests.values()] == [2, 2]
    splits = build_splits(*train, tests, num_examples={"test": 2, "test_hard": 5})
    assert [len(indices) for indices in splits.tests.values()] == [2, 5]
    assert splits.report["test_hard_left_out_by_subset"] == 5


def test_without_a_split_to_test_on():
    splits = build_splits(hashes_of(*range(100)), np.arange(100) % 2, {})
    assert splits.tests == {}
    assert len(splits.train) + len(splits.validation) == 100
    assert not any("test_examples" in name for name in splits.report)


def test_groups_of_test_are_left_out_of_train():
    groups = {"train": hashes_of(*(row // 10 for row in range(100))), "test": hashes_of(3, 3, 99)}
    given = hashes_of(*range(100)), np.arange(100) % 2, {"test": hashes_of(0, 500, 501)}
    splits = build_splits(*given, groups=groups)
    assert not {0, *range(30, 40)} & {*splits.train, *splits.validation}
    assert splits.report["train_left_out_also_in_test"] == 1
    assert splits.report["train_left_out_group_elsewhere"] == 10
    kept = build_splits(*given, groups=groups, keep_train_test_duplicates=True)
    assert len(kept.train) + len(kept.validation) == 100
    assert kept.report["train_left_out_group_elsewhere"] == 0


def test_groups_stay_together_beside_texts_of_test():
    groups = hashes_of(*(row // 4 for row in range(100)))
    splits = build(groups={"train": groups}, validation_fraction=0.2)
    assert {row // 4 for row in splits.train}.isdisjoint({row // 4 for row in splits.validation})
    assert 12 <= len(splits.validation) <= 19
    plain = build(validation_fraction=0.2)  # control
    assert {row // 4 for row in plain.train} & {row // 4 for row in plain.validation}


def test_oversampling_makes_the_classes_equal():
    labels = np.array([0] * 10 + [1] * 3 + [2] * 5 + [1] * 100)
    indices = np.arange(18)
    balanced = oversample(labels, indices, seed=1)
    assert np.bincount(labels[balanced]).tolist() == [10, 10, 10]
    assert np.all(np.diff(balanced) >= 0)
    times = np.bincount(balanced)
    assert times[:10].tolist() == [1] * 10
    assert sorted(times[10:13]) == [3, 3, 4]
    assert times[13:18].tolist() == [2] * 5
    np.testing.assert_array_equal(balanced, oversample(labels, indices, seed=1))
    chosen = {tuple(oversample(labels, indices, seed=seed)) for seed in range(10)}
    assert len(chosen) == 3  # which of the class 1 stands there a fourth time


def test_only_classes_can_be_balanced():
    for labels in (np.zeros(3, np.float32), np.zeros((3, 2), np.uint8)):
        with pytest.raises(ValueError, match="Only classes can be balanced"):
            oversample(labels, np.arange(3), seed=1)


def test_mistakes_are_told():
    with pytest.raises(UserError, match=r"validation_fraction is out of range. Received: 1.5"):
        build(validation_fraction=1.5)
    with pytest.raises(UserError, match=r"Received: 1000. Expected: from 1 to 76 examples"):
        build(validation_fraction=0.2, num_examples={"train": 1000})
    with pytest.raises(UserError, match=r"Received: 0. Expected: from 1 to 50 examples"):
        build(num_examples={"test": 0})
    with pytest.raises(UserError, match=r"The validation split is empty.*Received: 0"):
        build(validation_fraction=0.001)
    with pytest.raises(UserError, match=r"The train split is empty.*all of train stands in"):
        build(validation_hashes=hashes_of(*range(100)))
