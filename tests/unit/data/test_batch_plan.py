import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasft.data.plan.balance import padded_length
from kerasft.data.plan.batch_plan import BatchPlan, evaluation_batches
from kerasft.errors import UserError

plans = st.builds(
    BatchPlan,
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=200).map(np.array),
    batch_size=st.integers(1, 40),
    seed=st.integers(0, 2**63),
    length_group_batches=st.integers(1, 8),
)


def epoch_batches(plan, epoch):
    first = epoch * plan.steps_per_epoch
    return [plan.batch(step) for step in range(first, first + plan.steps_per_epoch)]


@given(plan=plans, epoch=st.integers(0, 50))
def test_every_example_exactly_once_an_epoch_and_only_the_last_batch_is_ragged(plan, epoch):
    batches = epoch_batches(plan, epoch)
    examples = np.concatenate(batches)
    assert examples.dtype == np.int64
    np.testing.assert_array_equal(np.sort(examples), np.arange(len(plan.lengths)))
    sizes = [len(batch) for batch in batches]
    assert sizes[:-1] == [plan.batch_size] * (len(sizes) - 1)
    assert 1 <= sizes[-1] <= plan.batch_size


@settings(max_examples=30)
@given(plan=plans, step=st.integers(0, 500))
def test_a_step_alone_equals_the_iterated_one(plan, step):
    iterated = [plan.batch(earlier) for earlier in range(step + 1)][-1]
    fresh = BatchPlan(plan.lengths, plan.batch_size, plan.seed, plan.length_group_batches)
    np.testing.assert_array_equal(fresh.batch(step), iterated)


def test_the_plan_is_the_same_on_every_machine():
    """Golden: made by this code on 2026-11-22. It may change only with a resume-breaking note."""
    plan = BatchPlan(np.arange(20) % 7 + 1, batch_size=4, seed=7, length_group_batches=2)
    batches = [plan.batch(step).tolist() for step in (0, 1, 4, 5)]
    assert batches == GOLDEN
    other = BatchPlan(plan.lengths, batch_size=4, seed=8, length_group_batches=2)
    assert [other.batch(step).tolist() for step in (0, 1, 4, 5)] != GOLDEN  # the control


GOLDEN = [[0, 1, 15, 10], [3, 17, 4, 19], [7, 14, 8, 9], [7, 8, 2, 9]]


def test_batches_do_not_run_from_short_to_long():
    plan = BatchPlan(np.arange(1, 6401), batch_size=32, length_group_batches=200)
    means = [plan.lengths[batch].mean() for batch in epoch_batches(plan, 0)]
    assert abs(np.corrcoef(np.arange(len(means)), means)[0, 1]) < 0.3


def test_the_ragged_batch_is_not_always_the_longest():
    plan = BatchPlan(np.arange(1, 106), batch_size=10)
    ragged_means = [plan.lengths[plan.batch(11 * epoch + 10)].mean() for epoch in range(20)]
    assert 35 < np.mean(ragged_means) < 70


def padding_share(lengths, batches):
    """The share of all positions that hold padding."""
    positions = sum(len(batch) * padded_length(lengths[batch]) for batch in batches)
    return 1 - sum(lengths[batch].sum() for batch in batches) / positions


def test_grouping_reduces_padding():
    lengths = np.tile(np.arange(8, 264, 8), 40)
    shares = [
        padding_share(lengths, epoch_batches(BatchPlan(lengths, 16, 1, groups), 0))
        for groups in (1, 10, 50)
    ]
    assert shares[0] > 0.3
    assert shares[1] < 0.1
    assert shares[2] < shares[1]


@pytest.mark.parametrize(("longest", "width"), [(1, 8), (8, 8), (9, 16), (256, 256)])
def test_padded_length(longest, width):
    assert padded_length(np.array([1, longest])) == width


@given(
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=100).map(np.array),
    batch_size=st.integers(1, 40),
)
def test_evaluation_drops_nothing_and_goes_by_length(lengths, batch_size):
    batches = evaluation_batches(lengths, batch_size)
    order = np.concatenate(batches)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(lengths)))
    assert np.all(np.diff(lengths[order]) <= 0)
    for batch in batches[:-1]:
        times, rest = divmod(len(batch), batch_size)
        assert rest == 0
        assert 1 <= times <= 4
        assert times == 1 or len(batch) * lengths[batch].max() <= 4096
        fits = (times + 1) * batch_size * lengths[batch].max() <= 4096
        assert times == 4 or not fits


def test_mistakes_are_told():
    with pytest.raises(UserError, match=r"no examples.*Received: 0.*Fix: check"):
        BatchPlan(np.array([], dtype=np.int32), batch_size=2)
    with pytest.raises(UserError, match="no examples"):
        evaluation_batches(np.array([], dtype=np.int32), 2)
    with pytest.raises(UserError, match=r"batch_size is too small. Received: 0"):
        BatchPlan(np.array([1]), batch_size=0)
    with pytest.raises(UserError, match=r"batch_size is too small. Received: -1"):
        evaluation_batches(np.array([1]), -1)
    with pytest.raises(UserError, match=r"length_group_batches is too small. Received: 0"):
        BatchPlan(np.array([1]), batch_size=1, length_group_batches=0)
