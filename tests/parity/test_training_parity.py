"""Our training loop follows the published one of PyTorch and Hugging Face, step for step."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from kerasft.evaluation.forward import build_forward, predict_logits
from kerasft.models.encoder import Encoder
from kerasft.models.presets import load_preset
from kerasft.tasks.classification import Classification
from kerasft.training.loop.loop import train_steps
from kerasft.training.step.fine_tuner import FineTuner
from kerasft.training.step.optimizer import AdamW
from kerasft.training.step.schedule import WarmupDecay

# (loss, relative, at every step; logits after the last). Against the published loop what was asked
# for: the place of epsilon accounts for 5e-4 and 5e-4. With that moved, float32 alone for 2e-6.
TOLERANCES = {"published": (1e-3, 1e-2), "keras_epsilon": (5e-5, 5e-5)}
GOLDEN = Path(__file__).parent / "goldens" / "training_golden.npz"
CONTROLS = ("control/unclipped", "control/decay_everywhere")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def ours(minilm_folder, golden):
    """What our own pieces make of the golden's weights and batches."""
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = build_model(minilm_folder, golden)
    batches = make_dataset(golden)
    steps = list(train_steps(model, strategy, batches, start_step=0))
    evaluated = make_dataset(golden, "evaluated/").batch(len(golden["evaluated/labels"]))
    return {
        "losses": np.array([step.loss for step in steps]),
        "gradient_norms": np.array([step.gradient_norm for step in steps]),
        "learning_rates": np.array([step.learning_rate for step in steps]),
        "logits": predict_logits(build_forward(model), evaluated),
    }


def build_model(folder, golden):
    settings = json.loads(str(golden["certificate"]))["settings"]
    task = Classification(("negative", "positive"))
    encoder = Encoder(load_preset(str(folder), dropout=0.0).backbone, pooling="mean")
    head = task.build_head(hidden_dim=encoder.hidden_dim, dropout=0.0, seed=1)
    head.logits.set_weights([golden["head_kernel"], golden["head_bias"]])
    model = FineTuner(encoder, head, global_clipnorm=settings["global_clipnorm"])
    schedule = WarmupDecay(
        settings["learning_rate"],
        warmup_steps=settings["warmup_steps"],
        total_steps=len(golden["labels"]),
    )
    beta_1, beta_2 = settings["betas"]
    optimizer = AdamW(
        schedule,
        weight_decay=settings["weight_decay"],
        beta_1=beta_1,
        beta_2=beta_2,
        epsilon=settings["epsilon"],
    )
    model.compile(optimizer=optimizer, loss=task.build_loss(), jit_compile=False)
    optimizer.build(model.trainable_variables)
    return model


def make_dataset(golden, prefix=""):
    """The golden's rows as `(inputs, labels, sample_weight)`, one element a first index."""
    token_ids, mask, labels = (
        golden[prefix + name] for name in ("token_ids", "padding_mask", "labels")
    )
    inputs = {"token_ids": token_ids, "segment_ids": np.zeros_like(token_ids), "padding_mask": mask}
    weights = np.ones_like(labels, np.float32)
    return tf.data.Dataset.from_tensor_slices((inputs, labels, weights))


def distances(ours, golden, variant):
    """The largest relative difference of a step's loss, and the largest of a logit."""
    losses = np.abs(ours["losses"] / golden[f"{variant}/losses"] - 1)
    return losses.max(), np.abs(ours["logits"] - golden[f"{variant}/logits"]).max()


def test_the_golden_learns_and_clips(golden):
    """Else neither the curve nor its controls would say anything."""
    losses, norms = golden["published/losses"], golden["published/gradient_norms"]
    assert losses[-10:].mean() < 0.8 * losses[:10].mean()
    assert (norms > 1).mean() > 0.5


@pytest.mark.parametrize("variant", TOLERANCES)
def test_same_loss_at_every_step(ours, golden, variant):
    assert len(ours["losses"]) == 50
    assert distances(ours, golden, variant)[0] < TOLERANCES[variant][0]


@pytest.mark.parametrize("variant", TOLERANCES)
def test_same_logits_at_the_end(ours, golden, variant):
    assert distances(ours, golden, variant)[1] < TOLERANCES[variant][1]


@pytest.mark.parametrize("control", CONTROLS)
def test_control_is_told_apart(ours, golden, control):
    losses, logits = distances(ours, golden, control)
    assert losses > 10 * TOLERANCES["published"][0]
    assert logits > 3 * TOLERANCES["published"][1]


def test_the_place_of_epsilon_is_told_apart(ours, golden):
    """The one known difference, and a control of the close comparison."""
    assert min(distances(ours, golden, "published")) > 4 * max(TOLERANCES["keras_epsilon"])


def test_same_learning_rates(ours, golden):
    expected = golden["published/learning_rates"]
    np.testing.assert_allclose(ours["learning_rates"], expected, rtol=1e-6)


def test_same_gradient_norms_before_clipping(ours, golden):
    expected = golden["keras_epsilon/gradient_norms"]
    np.testing.assert_allclose(ours["gradient_norms"], expected, rtol=1e-4)
