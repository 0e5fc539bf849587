"""Settings on learning that exclude each other are refused when the recipe is read."""

from __future__ import annotations

import pytest

from kerasft.errors import UserError
from kerasft.recipe import load_recipe

FEATURES = {"training.mode": "features"}
WINDOWS = {"model.truncation": "windows"}
LORA = {"adapter.method": "lora"}
UNFREEZE = {"training.unfreeze_every_steps": 5}

REFUSED = [
    ({"training.momentum": 0.9}, r'training\.momentum: the optimizer "adamw" has no such setting'),
    ({"training.optimizer": "sgd", "training.beta_1": 0.8}, r'beta_1: the optimizer "sgd"'),
    (
        {"training.dtype_policy": "mixed_float16", "training.optimizer": "lion"},
        r'mixed_float16" needs training\.optimizer="adamw"',
    ),
    (
        {"training.schedule": "cosine", "training.decay_power": 2.0},
        r'decay_power needs training\.schedule="polynomial"',
    ),
    (
        {"training.schedule": "constant", "training.end_learning_rate": 0.1},
        r"the rate never falls",
    ),
    ({"training.focal_gamma": 1.0}, r'focal_gamma needs training\.loss="focal"'),
    ({"training.huber_delta": 2.0}, r'huber_delta needs training\.loss="huber"'),
    (
        {"training.loss": "focal", "training.label_smoothing": 0.1},
        r"label_smoothing with training\.loss.*Keep one",
    ),
    ({"training.max_divergences": 5}, r'max_divergences needs training\.on_divergence="skip"'),
    (
        {"training.all_reduce_dtype": "bfloat16", "training.strategy": "one_device"},
        "all_reduce_dtype with .*one_device.*: nothing is sent there",
    ),
    ({"training.average_from": "last"}, r"average_from needs training\.average_checkpoints"),
    (
        {"training.jit_compile": True, "training.gradient_accumulation_steps": 2},
        r"XLA cannot compile parts",
    ),
    ({"freezing.embeddings": True, "freezing.lowest_layers": 2}, r"freezes them already"),
    (
        {"freezing.encoder": True, "freezing.lowest_layers": 2},
        r"freezes all of the encoder already",
    ),
    (
        {"freezing.encoder": True, "training.layer_decay": 0.9},
        r"layer_decay with freezing\.encoder",
    ),
    ({**UNFREEZE, "freezing.embeddings": True}, r"freezing\.embeddings with gradual unfreezing"),
    ({**UNFREEZE, "training.optimizer": "sgd"}, r"unfreeze_every_\.\.\. needs training\.optimizer"),
    ({**UNFREEZE, "training.ema_decay": 0.9}, r"ema_decay with gradual unfreezing"),
    ({**FEATURES, **UNFREEZE}, r"unfreeze_every_\.\.\. with training\.mode"),
    ({**FEATURES, "regularization.l2_sp": 0.1}, r"l2_sp with training\.mode"),
    ({**FEATURES, "regularization.stochastic_depth": 0.1}, r"stochastic_depth with"),
    ({**FEATURES, "regularization.reinitialize_layers": 1}, r"reinitialize_layers with"),
    ({**FEATURES, "freezing.embeddings": True}, r"freezing\.embeddings: with .* Leave it out"),
    ({**FEATURES, **WINDOWS}, r"a text has one vector there"),
    ({**FEATURES, "regularization.adversarial_epsilon": 1.0}, r"no embeddings are computed"),
    (
        {"regularization.r_drop": 1.0, "model.dropout": 0.0, "model.head_dropout": 0.0},
        r"r_drop needs dropout",
    ),
    (
        {"regularization.r_drop": 1.0, "regularization.mixup_alpha": 0.4},
        r"mixup_alpha with regularization\.r_drop",
    ),
    ({**WINDOWS, "regularization.mixup_alpha": 0.4}, r"mixup_alpha with model\.truncation"),
    ({**WINDOWS, "regularization.adversarial_epsilon": 1.0}, r"adversarial_epsilon with model\.tr"),
    ({"adapter.rank": 4}, r'adapter\.rank needs adapter\.method="lora", and that is "none"'),
    ({**LORA, "adapter.bottleneck_dim": 8}, r'bottleneck_dim needs adapter\.method="houlsby"'),
    ({"adapter.init_from": "runs/a"}, r"adapter\.init_from needs adapter\.method"),
    ({**LORA, "freezing.embeddings": True}, r"the adapter settles what is frozen"),
    ({**LORA, **UNFREEZE}, r"it would thaw what the adapter freezes"),
    ({**LORA, **FEATURES}, r"no layer of the encoder is trained there"),
    ({**LORA, "regularization.l2_sp": 0.1}, r"the pretrained weights are frozen"),
    ({**LORA, "regularization.reinitialize_layers": 1}, r"they would stay random"),
    ({**LORA, "training.average_checkpoints": 2}, r"average of two factors"),
    (
        {
            "data.dataset": "files",
            "data.train_files": ("a.csv",),
            "data.label_kind": "multi",
            "regularization.mixup_alpha": 0.4,
        },
        r"whether half a label applies",
    ),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_a_conflict_is_refused_with_its_reason(overrides, message):
    with pytest.raises(UserError, match=f"(?s)1 fault.*{message}"):
        load_recipe("imdb_base", overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {"training.optimizer": "sgd", "training.momentum": 0.9},
        {"training.schedule": "cosine", "training.end_learning_rate": 1e-6},
        {"training.loss": "focal", "training.focal_gamma": 1.0},
        {"training.average_checkpoints": 3, "training.average_from": "last"},
        {**UNFREEZE, "training.layer_decay": 0.9},
        {**FEATURES, "regularization.mixup_alpha": 0.4},
        {"freezing.lowest_layers": 2, "training.layer_decay": 0.9, "regularization.l2_sp": 0.1},
        {"regularization.r_drop": 1.0, "regularization.adversarial_epsilon": 1.0},
        {**LORA, "adapter.rank": 4, "training.ema_decay": 0.9},
        {"adapter.method": "houlsby", "adapter.bottleneck_dim": 8},
    ],
)
def test_control_what_fits_is_taken(overrides):
    load_recipe("imdb_base", overrides)
