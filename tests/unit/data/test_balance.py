"""How rows are dealt out over replicas, and what each of them then computes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kerasft.data.plan.balance import Split, deal_evenly
from kerasft.data.plan.batch_plan import BatchPlan

WINDOW = 8
lengths_of_a_batch = st.lists(st.integers(1, 100), min_size=1, max_size=60).map(np.array)


@given(lengths=lengths_of_a_batch, replicas=st.integers(2, 9))
def test_dealt_evenly_no_replica_has_more_than_one_long_row_too_many(lengths, replicas):
    order = deal_evenly(lengths, replicas)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(lengths)))
    tokens = [lengths[order][replica::replicas].sum() for replica in range(replicas)]
    rows = [len(lengths[replica::replicas]) for replica in range(replicas)]
    assert max(rows) - min(rows) <= 1
    assert max(tokens) - min(tokens) <= lengths.max()


@given(lengths=lengths_of_a_batch)
def test_one_replica_keeps_the_order(lengths):
    assert deal_evenly(lengths, 1).tolist() == list(range(len(lengths)))


def test_the_rounds_go_back_and_forth():
    lengths = np.array([1, 9, 3, 7, 5, 2, 8])
    assert lengths[deal_evenly(lengths, 2)].tolist() == [8, 9, 7, 5, 2, 3, 1]
    assert lengths[deal_evenly(lengths, 3)].tolist() == [9, 8, 7, 2, 3, 5, 1]
    assert lengths[deal_evenly(lengths, 4)].tolist() == [5, 7, 8, 9, 3, 2, 1]


class TestPositions:
    lengths = np.array([30, 20, 10, 9, 2])

    def test_all_rows_of_a_batch_are_as_wide_as_its_longest(self):
        assert Split().positions(self.lengths).tolist() == [5 * 32]
        assert Split().positions(self.lengths, 1).tolist() == [5 * 30]
        assert Split(2).positions(self.lengths).tolist() == [3 * 32, 2 * 32]
        assert Split(8).positions(self.lengths).tolist() == [32] * 5 + [0] * 3

    def test_each_part_is_as_wide_as_its_longest(self):
        assert Split(2, parts=2).positions(self.lengths).tolist() == [2 * 30 + 2, 2 * 20]
        assert Split(2, parts=9).positions(self.lengths).tolist() == [30 + 10 + 2, 20 + 9]

    def test_windows_are_counted(self):
        split = Split(2, window_length=WINDOW)
        assert split.positions(self.lengths).tolist() == [(4 + 2 + 1) * WINDOW, (3 + 2) * WINDOW]
        short = Split(2, window_length=64).positions(self.lengths)
        assert short.tolist() == [3 * 32, 2 * 32]


def test_a_plan_for_several_replicas_has_the_same_batches_balanced():
    lengths = np.random.default_rng(1).integers(1, 200, 70)
    one, four = (BatchPlan(lengths, 16, seed=3, replicas=replicas) for replicas in (1, 4))
    split, idle = Split(4, window_length=WINDOW), []
    for step in range(one.steps_per_epoch):
        ours, theirs = one.batch(step), four.batch(step)
        np.testing.assert_array_equal(np.sort(ours), np.sort(theirs))
        shares = []
        for rows in (ours, theirs):
            positions = split.positions(lengths[rows])
            shares.append(1 - positions.mean() / positions.max())
        idle.append(shares)
    assert one.batch(0).tolist() != four.batch(0).tolist()
    before, after = np.array(idle).T
    assert after[:-1].max() < 0.06  # of whole batches
    assert before[:-1].mean() > 2 * after[:-1].mean()  # control: without it they wait longer
    assert before[-1] > 1.1 * after[-1]  # the last is not sorted, and of six texts
