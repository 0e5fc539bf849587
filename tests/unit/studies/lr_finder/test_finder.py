"""The range test on a model: what it measures, when it ends, and that it leaves no trace."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.studies.lr_finder.finder import RisingRate, run_rate_test
from kerasft.training.distribution.strategy import build_strategy
from kerasft.training.loop.fit import checkpointed_variables
from kerasft.training.loop.loop import train_steps
from kerasft.training.step.optimizer import AdamW
from kerasft.training.step.schedule import WarmupDecay


def test_the_rate_rises_by_the_same_factor_each_step():
    schedule = RisingRate(1e-6, 1e-2, num_steps=5, first_step=3)
    rates = [float(schedule(step)) for step in range(3, 9)]
    assert rates == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-2], rel=1e-5)
    assert RisingRate(**schedule.get_config())(5) == schedule(5)


def build(tools, *, dropout=0.1, **options):
    schedule = WarmupDecay(1e-2, warmup_steps=2, total_steps=20)
    return tools.build_tuner(AdamW(schedule, **options), dropout=dropout)


def make_batches(tools, count=30, broken=None):
    batches = [tools.make_batch(8, seed=seed) for seed in range(count)]
    if broken is not None:
        batches[broken][2][0] = np.nan
    return tools.make_dataset(batches)


def run(tools, model, batches, *, highest=1e-1, num_steps=30, strategy=None, **options):
    return run_rate_test(
        model,
        strategy or build_strategy("one_device"),
        batches,
        lowest=1e-5,
        highest=highest,
        num_steps=num_steps,
        **options,
    )


def values_of(model):
    return [np.array(variable.numpy()) for variable in checkpointed_variables(model)]


def equal(values, others):
    return [a.tobytes() == b.tobytes() for a, b in zip(values, others, strict=True)]


def take_steps(tools, model, count=4):
    batches = make_batches(tools, count)
    steps = train_steps(model, build_strategy("one_device"), batches, start_step=0)
    return [result.loss for result in steps]


def test_rates_and_losses_are_those_of_the_steps(tools):
    results = []
    curve = run(tools, build(tools), make_batches(tools, 35), on_step=results.append)
    np.testing.assert_allclose(curve.rates, np.geomspace(1e-5, 1e-1, 30), rtol=1e-4)
    assert curve.losses.tolist() == [result.loss for result in results]
    assert [result.step for result in results] == list(range(1, 31))
    assert (curve.num_planned, curve.diverged) == (30, False)


def test_the_model_is_bit_identical_afterwards(tools):
    model = build(tools)
    take_steps(tools, model)  # moments, counters and seeds are not those of a new model
    before, schedule = values_of(model), model.optimizer._learning_rate
    during = []
    run(tools, model, make_batches(tools), on_step=lambda result: during.append(values_of(model)))
    assert all(equal(before, values_of(model)))
    assert model.optimizer._learning_rate is schedule
    assert not all(equal(before, during[0]))  # the control: each step did change it
    assert sum(equal(before, during[-1])) < 3
    names = {variable.path.rpartition("/")[2] for variable in checkpointed_variables(model)}
    assert {"iteration", "seed_generator_state"} <= names


def test_a_training_after_it_is_the_one_without_it(tools):
    tested, untouched = build(tools), build(tools)
    run(tools, tested, make_batches(tools))
    expected = take_steps(tools, untouched)
    assert take_steps(tools, tested) == expected
    assert take_steps(tools, build(tools)) == expected
    # The control: a model that did keep what the steps of the test made of it.
    trained = build(tools)
    take_steps(tools, trained, 1)
    assert take_steps(tools, trained) != expected


def test_the_range_begins_where_the_optimizer_stands(tools):
    model = build(tools)
    model.optimizer.iterations.assign(7)
    curve = run(tools, model, make_batches(tools))
    assert curve.rates[[0, -1]] == pytest.approx([1e-5, 1e-1], rel=1e-4)
    assert model.optimizer.iterations.numpy() == 7


def test_it_ends_when_the_loss_diverges(tools):
    curve = run(
        tools, build(tools, dropout=0.0), make_batches(tools, 60), highest=1e3, num_steps=60
    )
    assert curve.diverged
    assert len(curve.losses) < 60
    assert curve.losses[-1] > 2 * curve.losses[0]


def test_a_loss_that_is_not_finite_ends_it_and_is_no_error(tools):
    model = build(tools)
    before = values_of(model)
    curve = run(tools, model, make_batches(tools, broken=6))
    assert (len(curve.losses), curve.diverged) == (6, True)
    assert np.isfinite(curve.losses).all()
    assert all(equal(before, values_of(model)))


def test_a_first_step_that_breaks_down_is_an_error_and_leaves_no_trace(tools):
    model = build(tools)
    before = values_of(model)
    with pytest.raises(UserError, match="Training broke down at step 1"):
        run(tools, model, make_batches(tools, broken=0))
    assert all(equal(before, values_of(model)))


def test_an_interruption_leaves_no_trace(tools):
    def stop(result):
        raise KeyboardInterrupt

    model = build(tools)
    before, schedule = values_of(model), model.optimizer._learning_rate
    with pytest.raises(KeyboardInterrupt):
        run(tools, model, make_batches(tools), on_step=stop)
    assert all(equal(before, values_of(model)))
    assert model.optimizer._learning_rate is schedule


def test_the_rates_of_variables_keep_their_ratio(tools):
    paths = [variable.path for variable in build(tools).trainable_variables]
    still, moving = paths[0], paths[-1]
    model = build(tools, rate_scales={still: 0.0}, weight_decay=0.0)
    before = {v.path: v.numpy().copy() for v in model.trainable_variables}
    after = {}

    def note(result):
        after.update({v.path: v.numpy().copy() for v in model.trainable_variables})

    run(tools, model, make_batches(tools), on_step=note)
    assert np.array_equal(after[still], before[still])
    assert not np.array_equal(after[moving], before[moving])


def test_two_replicas_show_the_curve_of_one_device(tools):
    strategy = tools.mirrored()
    with strategy.scope():
        model = build(tools, dropout=0.0)
    before = values_of(model)
    curve = run(tools, model, make_batches(tools), num_steps=10, strategy=strategy)
    alone = run(tools, build(tools, dropout=0.0), make_batches(tools), num_steps=10)
    np.testing.assert_allclose(curve.losses, alone.losses, rtol=1e-4)
    assert all(equal(before, values_of(model)))


def test_an_optimizer_without_a_schedule_is_a_bug(tools):
    model = tools.build_tuner()
    with pytest.raises(ValueError, match="The optimizer has no schedule"):
        run(tools, model, make_batches(tools))
