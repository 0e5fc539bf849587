"""When things happen in a training; the numbers are those of a stub."""

from __future__ import annotations

import math
import shutil
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.errors import UserError
from kerasft.training.callbacks.callback import Callback, StepResult
from kerasft.training.checkpoints.checkpoint import (
    BEST,
    checkpoints_in,
    discard_after,
    restore,
    restore_best,
)
from kerasft.training.loop import fit as fit_module
from kerasft.training.loop.fit import Fit
from kerasft.training.loop.fit_state import FitSettings, FitState, TrainingData
from kerasft.training.loop.ranking import Ranking

STEPS_PER_EPOCH = 5
NAN = float("nan")


class Listener(Callback):
    """Writes down what it is told."""

    def __init__(self):
        self.told, self.stats, self.messages = [], [], []

    def on_start(self, *, start_step, total_steps, steps_per_epoch):
        self.told.append(("start", start_step, total_steps, steps_per_epoch))

    def on_step(self, result, stats):
        self.told.append(("step", result.step))
        self.stats.append(stats)

    def on_epoch(self, epoch, step, metrics):
        self.told.append(("epoch", epoch, step, metrics["loss"]))

    def on_evaluation(self, split, step, metrics, best):
        self.told.append((split, step, metrics["accuracy"], best))

    def on_message(self, text):
        self.messages.append(text)

    def of(self, kind):
        return [told[1:] for told in self.told if told[0] == kind]


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a Fit whose variable is the step, and whose accuracies are given."""
    variable = keras.Variable(0.0, name="kernel")
    resets = []
    model = types.SimpleNamespace(
        weights=[variable],
        variables=[variable],
        optimizer=types.SimpleNamespace(variables=[], use_ema=False),
        metrics_variables=[],
        penalties=types.SimpleNamespace(variables=[]),
        loss_scale=None,
        jit_compile=False,
        owed=list,
        reset_metrics=lambda: resets.append(float(variable.numpy())),
    )

    def train_steps(model, strategy, batches, *, start_step, skip, norms_every):
        for step in range(start_step + 1, batches + 1):
            if step == run.breaks_at:
                raise UserError(f"Training broke down at step {step}.")
            variable.assign(float(step))
            yield StepResult(step, 1.0, 0.1, 1.0, 0.5, {"loss": 1.0 / step})

    monkeypatch.setattr(fit_module, "train_steps", train_steps)

    def run(accuracies=(), *, state=None, steps=10, evaluate_every=5, checkpoint_every=5, **more):
        scores, losses = iter(accuracies), iter(more.pop("losses", ()))

        def evaluate(score):
            return {"accuracy": score, "log_loss": next(losses, 1 - score)}

        settings = FitSettings(
            total_steps=steps,
            evaluate_every=evaluate_every,
            checkpoint_every=checkpoint_every,
            ranking=Ranking(more.pop("monitor", "validation/accuracy")),
            **more,
        )
        plan = BatchPlan(np.arange(1, 19), batch_size=4)  # five steps, the last of two examples
        run.data = TrainingData(
            plan=plan,
            batches=lambda start: steps,
            evaluate=lambda on_batch: evaluate(next(scores)),
            altered=run.altered,
        )
        run.listener = Listener()
        return Fit(
            model,
            tf.distribute.get_strategy(),
            data=run.data,
            settings=settings,
            folder=tmp_path,
            state=state or FitState(),
            callbacks=run.listener,
        ).run()

    run.folder, run.resets, run.variable, run.breaks_at = tmp_path, resets, variable, None
    run.model, run.altered = model, None
    return run


def last_state(run):
    """The state of the latest checkpoint, as a resumed run reads it."""
    return FitState.from_checkpoint(restore(checkpoints_in(run.folder)[-1], [run.variable]))


def saved_steps(folder):
    return [int(path.name.removeprefix("step-")) for path in checkpoints_in(folder)]


class TestWhen:
    def test_events_in_their_order(self, run):
        run([0.5, 0.6, 0.7], steps=7, evaluate_every=3, checkpoint_every=100)
        assert run.listener.told == [
            ("start", 0, 7, STEPS_PER_EPOCH),
            *[("step", 1), ("step", 2), ("step", 3), ("validation", 3, 0.5, True)],
            *[("step", 4), ("step", 5), ("epoch", 1, 5, 0.2)],
            *[("step", 6), ("validation", 6, 0.6, True)],
            *[("step", 7), ("validation", 7, 0.7, True)],
        ]

    def test_the_last_step_is_evaluated_once(self, run):
        state = run([0.5, 0.6], steps=10, evaluate_every=5)
        assert [e["step"] for e in state.evaluations] == [5, 10]

    def test_a_run_that_stops_short_is_evaluated_and_saved_there(self, run):
        state = run([0.5, 0.6], steps=10, stop_step=7, evaluate_every=5, checkpoint_every=5)
        assert [e["step"] for e in state.evaluations] == [5, 7]
        assert saved_steps(run.folder) == [5, 7]
        assert run.listener.of("start") == [(0, 10, STEPS_PER_EPOCH)]  # the schedule is whole
        longer = run([0.7], state=state, steps=10, stop_step=99, evaluate_every=5)
        assert [e["step"] for e in longer.evaluations] == [5, 7, 10]

    def test_weights_are_averaged_at_the_end_of_the_whole_length_alone(self, run):
        state = run([0.5, 0.6], steps=10, stop_step=7, average_checkpoints=2)
        assert not state.averaged_step
        longer = run([0.7, 0.8], state=state, steps=10, average_checkpoints=2)
        assert longer.averaged_step == 10

    def test_the_last_step_is_saved(self, run):
        run([0.5] * 3, steps=7, checkpoint_every=3, evaluate_every=3)
        assert saved_steps(run.folder) == [6, 7]

    def test_running_metrics_start_anew_with_each_epoch(self, run):
        run([0.5, 0.5], steps=12, evaluate_every=10)
        assert run.resets == [5.0, 10.0]

    def test_the_first_step_of_each_shape_of_a_batch_is_one_that_xla_compiles(self, run):
        assert run([0.5, 0.5], steps=10).compile_seconds == 0  # without XLA
        run.model.jit_compile = True
        state = run([0.5, 0.5], steps=10)
        shapes = {(stats.examples, stats.positions) for stats in run.listener.stats}
        assert 1 < len(shapes) < 10
        assert state.compile_seconds == 0.5 * len(shapes)  # each step of the stub takes 0.5
        assert state.step_seconds == 5.0

    def test_counts_what_was_trained_on(self, run):
        state = run([0.5], steps=5)
        assert (state.examples, state.tokens) == (18, sum(range(1, 19)))
        assert [stats.examples for stats in run.listener.stats] == [4, 4, 4, 4, 2]
        assert state.positions == sum(stats.positions for stats in run.listener.stats)
        assert state.tokens < state.positions
        assert state.step_seconds == 2.5
        assert state.seconds > 0
        assert [stats.altered for stats in run.listener.stats] == [None] * 5

    def test_tells_how_many_examples_of_each_step_were_altered(self, run):
        run.altered = {0: 2, 1: 0, 2: 1, 3: 4, 4: 2}.pop  # asked once, by steps from 0
        run([0.5], steps=5)
        assert [stats.altered for stats in run.listener.stats] == [2, 0, 1, 4, 2]


class TestBest:
    def test_is_the_highest(self, run):
        state = run([0.5, 0.8, 0.7, 0.6], steps=8, evaluate_every=2)
        assert (state.best_step, state.best_value) == (4, 0.8)
        assert [best for *_, best in run.listener.of("validation")] == [True, True, False, False]
        saved = restore(run.folder / BEST, [run.variable])
        assert float(run.variable.numpy()) == saved["step"] == 4

    @pytest.mark.parametrize(
        ("losses", "best_step"),
        [
            ([0.9, 0.6, 0.5, 0.7], 6),  # the lowest loss
            ([0.9, 0.5, 0.6, 0.5], 8),  # of equal losses the later step
            ([0.4, 0.5, 0.6, 0.7], 2),
            ([NAN, 0.5, NAN, 0.6], 4),  # an undefined loss is the highest
        ],
    )
    def test_of_equal_values_the_one_with_the_lower_loss_then_the_later(
        self, run, losses, best_step
    ):
        state = run([0.8] * 4, steps=8, evaluate_every=2, losses=losses)
        assert (state.best_step, state.best_value) == (best_step, 0.8)
        assert restore(run.folder / BEST, [run.variable])["step"] == best_step

    def test_an_undefined_value_is_never_better(self, run):
        state = run([NAN, 0.1, NAN, NAN], steps=8, evaluate_every=2)
        assert (state.best_step, state.best_value, state.evaluations_since_best) == (4, 0.1, 2)
        told = [best for *_, best in run.listener.of("validation")]
        assert told == [False, True, False, False]

    def test_without_any_value_the_latest_weights_stand_in_and_patience_ends(self, run):
        state = run([NAN] * 5, steps=10, evaluate_every=2, patience=3)
        assert (state.step, state.stopped_early, state.best_step) == (6, True, 6)
        assert restore(run.folder / BEST, [run.variable])["step"] == 6

    def test_of_a_loss_is_the_lowest(self, run):
        state = run([0.5, 0.8, 0.7], steps=6, evaluate_every=2, monitor="validation/log_loss")
        assert (state.best_step, state.best_value) == (4, pytest.approx(0.2))

    def test_unknown_metric(self, run):
        with pytest.raises(UserError, match=r'training\.monitor="validation/f2".*accuracy, valid'):
            run([0.5], monitor="validation/f2")


class TestEarlyStopping:
    def test_after_so_many_evaluations_without_a_better_one(self, run):
        state = run([0.5, 0.6, 0.6, 0.5, 0.9], steps=10, evaluate_every=2, patience=2)
        assert (state.step, state.stopped_early, state.best_step) == (8, True, 6)
        assert saved_steps(run.folder)[-1] == 8
        message = run.listener.messages[-1]
        assert "not improved on 0.6000 (step 6) for 2 evaluations" in message

    def test_control_without_patience_it_goes_on(self, run):
        state = run([0.5, 0.4, 0.3, 0.2, 0.1], steps=10, evaluate_every=2)
        assert (state.step, state.stopped_early, state.best_step) == (10, False, 2)

    def test_a_better_one_starts_the_count_anew(self, run):
        state = run([0.5, 0.4, 0.6, 0.4, 0.7], steps=10, evaluate_every=2, patience=2)
        assert (state.step, state.stopped_early) == (10, False)

    def test_a_stopped_run_that_is_resumed_stays_stopped(self, run):
        run([0.5, 0.4], steps=10, evaluate_every=2, patience=1)
        state = run([], steps=10, evaluate_every=2, patience=1, state=last_state(run))
        assert (state.step, run.listener.of("step")) == (4, [])

    @pytest.mark.parametrize("checkpoint_every", [2, 100])
    def test_more_patience_trains_on_wherever_the_run_was_cut_off(self, run, checkpoint_every):
        often = {"checkpoint_every": checkpoint_every, "evaluate_every": 2}
        run([0.5, 0.4], steps=10, patience=1, **often)
        state = run([0.3, 0.2, 0.1], steps=10, patience=4, state=last_state(run), **often)
        assert (state.step, state.stopped_early) == (10, True)
        assert run.listener.of("step")[0] == (5,)


def test_a_breakdown_keeps_the_checkpoint_before(run):
    run.breaks_at = 4
    with pytest.raises(UserError, match="broke down at step 4"):
        run([0.5, 0.5], checkpoint_every=2, evaluate_every=100)
    assert saved_steps(run.folder) == [2]
    assert restore(checkpoints_in(run.folder)[0], [run.variable])["step"] == 2


def test_a_finished_run_has_nothing_left_to_do(run):
    state = run([0.5, 0.6], steps=10)
    assert run([], steps=10, state=state) is state
    assert run.listener.of("step") == []


def test_state_survives_the_checkpoint(run):
    state = run([0.1 + 0.2, 0.7], steps=10)
    assert last_state(run) == state


def test_an_undefined_metric_survives_the_checkpoint(run):
    run([NAN, NAN], steps=10)
    state = last_state(run)
    assert math.isnan(state.best_value)
    assert [math.isnan(evaluation["accuracy"]) for evaluation in state.evaluations] == [True] * 2
    longer = run([0.2], steps=15, state=state)
    assert (longer.best_step, longer.best_value) == (15, 0.2)


class TestGoingBack:
    """A run goes back to a checkpoint that knew another best step than the latest."""

    def go_back(self, run, step):
        folder = run.folder
        discard_after(folder, step)
        state = last_state(run)
        assert restore_best(folder, state.best_step)
        return state

    def test_the_best_step_of_that_time_is_best_again(self, run):
        run([0.5, 0.8, 0.7, 0.9], steps=8, evaluate_every=2, checkpoint_every=3)
        assert saved_steps(run.folder) == [6, 8]
        state = self.go_back(run, 6)
        assert (state.step, state.best_step) == (6, 4)
        state = run([0.6], steps=8, evaluate_every=2, checkpoint_every=3, state=state)
        assert (state.best_step, state.best_value) == (4, 0.8)
        assert restore(run.folder / BEST, [run.variable])["step"] == 4
        assert float(run.variable.numpy()) == 4

    def test_what_no_checkpoint_counts_on_goes(self, run):
        run([0.5, 0.6, 0.7, 0.8, 0.9], steps=10, evaluate_every=2, checkpoint_every=2)
        kept = sorted(path.name for path in run.folder.glob("best*"))
        assert kept == ["best", "best-00000008"]  # the checkpoints are 8 and 10

    def test_weights_that_are_gone_are_not_replaced_by_others(self, run):
        run([0.5, 0.8, 0.7, 0.9], steps=8, evaluate_every=2, checkpoint_every=3)
        shutil.rmtree(run.folder / "best-00000004")
        assert not restore_best(run.folder, 4)
        assert not (run.folder / BEST).exists()

    def test_candidates_of_an_average_that_a_checkpoint_counts_on_stay(self, run):
        options = {"evaluate_every": 2, "checkpoint_every": 3, "average_checkpoints": 2}
        run.breaks_at = 9
        with pytest.raises(UserError, match="broke down"):
            run([0.7, 0.8, 0.5, 0.9], steps=10, **options)
        assert len(checkpoints_in(run.folder / "candidates")) == 3  # 4 and 8, and 2 for step 6
        run.breaks_at = None
        state = self.go_back(run, 6)
        state = run([0.1, 0.1], steps=8, state=state, **options)
        assert run.listener.messages[-1].startswith("The weights of the steps 2, 4 are averaged")

    def test_a_run_that_was_averaged_can_be_made_longer(self, run):
        options = {"evaluate_every": 2, "average_checkpoints": 2}
        state = run([0.7, 0.8, 0.5, 0.6, 0.75], steps=8, **options)
        assert (state.averaged_step, state.best_value) == (8, 0.75)
        state = run([0.9, 0.4, 0.85], steps=12, state=state, **options)
        assert (state.averaged_step, state.best_value) == (12, 0.85)
        assert run.listener.messages[-1].startswith("The weights of the steps 10, 12 are averaged")
