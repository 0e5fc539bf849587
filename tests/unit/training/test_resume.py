"""A training that is interrupted and resumed ends where the undisturbed one ends, bit for bit."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal

import keras
import pytest

from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.evaluation.forward import build_forward, predict_logits
from kerasft.tasks.classification import Classification
from kerasft.training.callbacks.callback import Callback
from kerasft.training.checkpoints.checkpoint import BEST, checkpoints_in, restore_latest, step_of
from kerasft.training.distribution.strategy import build_strategy
from kerasft.training.loop.fit import Fit, checkpointed_variables
from kerasft.training.loop.fit_state import FitSettings, FitState, TrainingData
from kerasft.training.loop.interrupt import InterruptRequested
from kerasft.training.loop.ranking import Ranking
from kerasft.training.loop.unfreezing import GradualUnfreezing
from kerasft.training.step.objective import Objective
from kerasft.training.step.optimizer import AdamW
from kerasft.training.step.penalties import Penalties
from kerasft.training.step.schedule import WarmupDecay

TOTAL_STEPS, STEPS_PER_EPOCH = 7, 4
SETTINGS = FitSettings(
    total_steps=TOTAL_STEPS,
    evaluate_every=3,
    checkpoint_every=100,
    ranking=Ranking("validation/log_loss"),
)


class Listener(Callback):
    """Writes down each step; sends a signal at one moment, if that is asked for."""

    def __init__(self, moment=None):
        self.moment, self.steps, self.epochs, self.messages = moment, [], [], []

    def on_step(self, result, stats):
        self.steps.append((result.step, result.loss, result.gradient_norm, result.running))
        self._interrupt_at(f"step {result.step}")

    def on_epoch(self, epoch, step, metrics):
        self.epochs.append((epoch, step, metrics))

    def on_evaluation_batch(self, num_examples):
        self._interrupt_at(f"evaluation after step {self.steps[-1][0] if self.steps else '?'}")

    def on_evaluation(self, split, step, metrics, best):
        self._interrupt_at(f"end of evaluation after step {step}")

    def on_message(self, text):
        self.messages.append(text)

    def _interrupt_at(self, moment):
        if moment == self.moment:
            self.moment = None
            os.kill(os.getpid(), signal.SIGINT)


def take(batch, rows):
    inputs, labels, weights = batch
    return {name: ids[rows] for name, ids in inputs.items()}, labels[rows], weights[rows]


def train(tools, folder, listener, *, forget=None, settings=SETTINGS, ema_decay=0.0, **options):
    """Trains from the folder's latest checkpoint on, in a model built anew."""
    if num_layers := options.pop("num_layers", None):  # something to unfreeze
        options["backbone"] = lambda: tools.build_backbone(0.1, num_layers=num_layers)
    schedule = WarmupDecay(1e-2, warmup_steps=2, total_steps=TOTAL_STEPS)
    optimizer = AdamW(schedule, ema_decay=ema_decay)
    model = tools.build_tuner(optimizer, **{"dropout": 0.3, "global_clipnorm": 1.0, **options})
    model.penalties.remember_start(model.encoder.trainable_weights)
    keras.utils.set_random_seed(int.from_bytes(os.urandom(3), "big"))  # seeds come from the model
    examples = tools.make_batch(14, seed=1)
    plan = BatchPlan(examples[0]["padding_mask"].sum(axis=1), batch_size=4, seed=1)
    forward = build_forward(model)

    def batches(start):
        return tools.make_dataset(
            [take(examples, plan.batch(step)) for step in range(start, TOTAL_STEPS)]
        )

    def evaluate(on_batch):
        halves = [take(examples, slice(0, 8)), take(examples, slice(8, 14))]
        logits = predict_logits(forward, tools.make_dataset(halves), on_batch=on_batch)
        return Classification(("neg", "pos")).evaluate(examples[1], logits)

    def variables_at(step):
        settings.unfreezing.set_stage(model, max(step - 1, 0))
        return checkpointed_variables(model)

    saved = restore_latest(folder, variables_at, log=pytest.fail)
    state = FitState.from_checkpoint(saved) if saved else FitState()
    for variable in checkpointed_variables(model):
        if forget and forget in variable.path:
            variable.assign(0 * variable)
    data = TrainingData(plan=plan, batches=batches, evaluate=evaluate)
    fit = Fit(
        model,
        build_strategy("one_device"),
        data=data,
        settings=settings,
        folder=folder,
        state=state,
        callbacks=listener,
    )
    return fit.run(), [variable.numpy() for variable in checkpointed_variables(model)]


@pytest.fixture(scope="module")
def undisturbed(tools, tmp_path_factory):
    folder, listener = tmp_path_factory.mktemp("undisturbed"), Listener()
    state, values = train(tools, folder, listener)
    return folder, listener, state, values


TECHNIQUES = {
    "unfreezing": {
        "num_layers": 2,
        "settings": dataclasses.replace(SETTINGS, unfreezing=GradualUnfreezing(2)),
    },
    "soup": {
        "settings": dataclasses.replace(SETTINGS, evaluate_every=2, average_checkpoints=2),
    },
    "average, start and mix-up": {
        "ema_decay": 0.5,
        "penalties": Penalties(l2_sp=0.1),
        "objective": Objective(mixup_alpha=0.4),
        "accumulation_steps": 2,
    },
}


def without_times(state):
    return {name: value for name, value in vars(state).items() if "seconds" not in name}


def differences(ours, theirs):
    return sum(a.tobytes() != b.tobytes() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("step 2", 2),
        ("evaluation after step 3", 3),
        (f"step {STEPS_PER_EPOCH - 1}", STEPS_PER_EPOCH - 1),
        (f"step {STEPS_PER_EPOCH}", STEPS_PER_EPOCH),
        (f"end of evaluation after step {TOTAL_STEPS}", TOTAL_STEPS),
    ],
)
def test_interrupted_and_resumed(tools, tmp_path, undisturbed, moment, step):
    folder, whole, expected_state, expected = undisturbed
    first, second = Listener(moment), Listener()
    with pytest.raises(InterruptRequested):
        train(tools, tmp_path, first)
    assert [path.name for path in checkpoints_in(tmp_path)] == [f"step-{step:08d}"]
    assert any("saving a checkpoint" in message for message in first.messages)
    state, values = train(tools, tmp_path, second)
    assert first.steps + second.steps == whole.steps
    assert first.epochs + second.epochs == whole.epochs
    assert differences(values, expected) == 0
    assert without_times(state) == without_times(expected_state)
    best = f"{BEST}/variables.safetensors"
    assert (tmp_path / best).read_bytes() == (folder / best).read_bytes()


@pytest.fixture(scope="module")
def with_technique(tools, tmp_path_factory):
    """Trains undisturbed with a technique, each once: its folder, listener and values."""

    @functools.cache
    def trained(name):
        folder, listener = tmp_path_factory.mktemp("whole"), Listener()
        _, values = train(tools, folder, listener, **TECHNIQUES[name])
        return folder, listener, values

    return trained


@pytest.mark.parametrize(
    ("name", "step"), [("unfreezing", 3), ("soup", 5), ("average, start and mix-up", 3)]
)
def test_with_techniques(tools, tmp_path, with_technique, name, step):
    """Layers that join at steps 2 and 4, weights that wait to be averaged, averages over time."""
    options, first, second = TECHNIQUES[name], Listener(f"step {step}"), Listener()
    folder, whole, expected = with_technique(name)
    with pytest.raises(InterruptRequested):
        train(tools, tmp_path / "parts", first, **options)
    state, values = train(tools, tmp_path / "parts", second, **options)
    assert first.steps + second.steps == whole.steps
    assert differences(values, expected) == 0
    assert bool(state.averaged_step) is (name == "soup")
    best = f"{BEST}/variables.safetensors"
    assert (tmp_path / "parts" / best).read_bytes() == (folder / best).read_bytes()
    # Weights that wait to be averaged stay where a checkpoint is left to go back to.
    left = {step_of(path) for path in checkpoints_in(tmp_path / "parts" / "candidates")}
    assert left <= set(range(1, step + 1))
    assert bool(left) is (name == "soup")


def test_layers_join_and_keep_what_they_learnt(tools, tmp_path, with_technique):
    """The optimizer grows: layers that were trained keep their moments, none starts early."""
    _, _, values = with_technique("unfreezing")
    _, all_at_once = train(tools, tmp_path / "all", Listener(), num_layers=2)
    assert len(values) == len(all_at_once)  # in the end all is trained
    assert differences(values, all_at_once) > 10


@pytest.mark.parametrize("part", ["momentum", "seed_generator_state"])
def test_control_what_is_not_restored_is_told_apart(tools, tmp_path, undisturbed, part):
    *_, expected = undisturbed
    with pytest.raises(InterruptRequested):
        train(tools, tmp_path, Listener("step 2"))
    _, values = train(tools, tmp_path, Listener(), forget=part)
    assert differences(values, expected) > 10
