"""Settings on learning that exclude each other, or that would do nothing beside another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kerasft.recipe.learning_sections import OPTIMIZER_SETTINGS, TrainingSettings

if TYPE_CHECKING:
    from kerasft.recipe.load import Recipe

_WINDOWS = 'model.truncation="windows"'


def find_learning_conflicts(recipe: Recipe) -> Iterator[str]:
    """Yields one sentence for each pair of settings that cannot stand together."""
    yield from _optimizer_conflicts(recipe.training)
    yield from _idle_settings(recipe.training)
    yield from _freezing_conflicts(recipe)
    yield from _features_conflicts(recipe)
    yield from _objective_conflicts(recipe)
    yield from _compile_conflicts(recipe)
    yield from _adapter_conflicts(recipe)


def _optimizer_conflicts(training: TrainingSettings) -> Iterator[str]:
    """What the chosen optimizer does not have."""
    own = OPTIMIZER_SETTINGS[training.optimizer]
    for key in sorted({key for keys in OPTIMIZER_SETTINGS.values() for key in keys} - {*own}):
        if _is_set(training, key):
            yield f'training.{key}: the optimizer "{training.optimizer}" has no such setting.'
    if training.dtype_policy == "mixed_float16" and training.optimizer != "adamw":
        yield (
            'training.dtype_policy="mixed_float16" needs training.optimizer="adamw": only that '
            "one can pass over a step that overflows."
        )


def _idle_settings(training: TrainingSettings) -> Iterator[str]:
    """Settings that would do nothing beside the choice that was made."""
    needs = {
        "decay_power": ("schedule", "polynomial"),
        "focal_gamma": ("loss", "focal"),
        "huber_delta": ("loss", "huber"),
        "max_divergences": ("on_divergence", "skip"),
    }
    for key, (choice, value) in needs.items():
        if _is_set(training, key) and getattr(training, choice) != value:
            yield f'training.{key} needs training.{choice}="{value}".'
    if training.schedule == "constant" and training.end_learning_rate:
        yield 'training.end_learning_rate: the rate never falls with training.schedule="constant".'
    if training.all_reduce_dtype != "float32" and training.strategy == "one_device":
        yield (
            'training.all_reduce_dtype with training.strategy="one_device": nothing is sent there.'
        )
    if training.average_from != "best" and training.average_checkpoints == 1:
        yield "training.average_from needs training.average_checkpoints above 1."
    if training.loss == "focal" and training.label_smoothing:
        yield (
            'training.label_smoothing with training.loss="focal": one trusts the labels less, the '
            "other looks at what contradicts them. Keep one."
        )


def _freezing_conflicts(recipe: Recipe) -> Iterator[str]:
    freezing, training = recipe.freezing, recipe.training
    frozen = [f"freezing.{key}" for key in _set_keys(freezing)]
    if freezing.embeddings and freezing.lowest_layers:
        yield "freezing.embeddings: freezing.lowest_layers freezes them already. Leave it out."
    if freezing.encoder and len(frozen) > 1:
        yield "freezing.encoder freezes all of the encoder already. Leave the others out."
    if freezing.encoder:
        yield from _without_encoder(recipe, "freezing.encoder=true")
    if not unfreezes(training):
        return
    if frozen:
        yield f"{frozen[0]} with gradual unfreezing: that begins with all frozen but the top."
    if training.optimizer != "adamw":
        yield 'training.unfreeze_every_... needs training.optimizer="adamw".'
    if training.ema_decay:
        yield (
            "training.ema_decay with gradual unfreezing: the average of a layer that begins late "
            "would begin at nothing."
        )


def _features_conflicts(recipe: Recipe) -> Iterator[str]:
    if recipe.training.mode != "features":
        return
    name = 'training.mode="features"'
    yield from _without_encoder(recipe, name)
    for key in _set_keys(recipe.freezing):
        yield f"freezing.{key}: with {name} all of the encoder is frozen. Leave it out."
    if recipe.model.truncation == "windows":
        yield f"{_WINDOWS} with {name}: a text has one vector there, and not one for each window."
    if recipe.regularization.adversarial_epsilon:
        yield f"regularization.adversarial_epsilon with {name}: no embeddings are computed."


def _without_encoder(recipe: Recipe, reason: str) -> Iterator[str]:
    """What needs an encoder that is trained."""
    training, regularization = recipe.training, recipe.regularization
    wanted = {
        "training.layer_decay": training.layer_decay != 1.0,
        "training.unfreeze_every_...": unfreezes(training),
        "regularization.l2_sp": bool(regularization.l2_sp),
        "regularization.stochastic_depth": bool(regularization.stochastic_depth),
        "regularization.reinitialize_layers": bool(regularization.reinitialize_layers),
    }
    for setting, is_wanted in wanted.items():
        if is_wanted:
            yield f"{setting} with {reason}: no layer of the encoder is trained."


def _objective_conflicts(recipe: Recipe) -> Iterator[str]:
    regularization, model = recipe.regularization, recipe.model
    is_random = model.dropout or model.head_dropout or model.attention_dropout
    if regularization.r_drop and not (is_random or regularization.stochastic_depth):
        yield "regularization.r_drop needs dropout: without it both passes are the same."
    if regularization.mixup_alpha and regularization.r_drop:
        yield (
            "regularization.mixup_alpha with regularization.r_drop: its two passes would be mixed "
            "with different partners. Keep one."
        )
    if regularization.mixup_alpha and recipe.data.label_kind == "multi":
        yield (
            'regularization.mixup_alpha with data.label_kind="multi": whether half a label applies '
            "has no answer."
        )
    if model.truncation == "windows":
        for key in ("mixup_alpha", "adversarial_epsilon"):
            if getattr(regularization, key):
                yield f"regularization.{key} with {_WINDOWS}: it needs texts that are read whole."


def _compile_conflicts(recipe: Recipe) -> Iterator[str]:
    training = recipe.training
    if training.jit_compile and training.gradient_accumulation_steps > 1:
        yield (
            "training.jit_compile with training.gradient_accumulation_steps above 1: XLA cannot "
            "compile parts whose size changes from batch to batch."
        )
    if training.jit_compile and recipe.performance.kernels:
        yield "training.jit_compile with performance.kernels: XLA compiles a whole step or nothing."


def _adapter_conflicts(recipe: Recipe) -> Iterator[str]:
    adapter, method = recipe.adapter, recipe.adapter.method
    for key in ("matrices", "rank", "alpha", "dropout"):
        if method != "lora" and _is_set(adapter, key):
            yield f'adapter.{key} needs adapter.method="lora", and that is "{method}".'
    if method != "houlsby" and _is_set(adapter, "bottleneck_dim"):
        yield f'adapter.bottleneck_dim needs adapter.method="houlsby", and that is "{method}".'
    if method == "none":
        if adapter.init_from is not None:
            yield "adapter.init_from needs adapter.method: set it to that of the adapter."
        return
    name = f'adapter.method="{method}"'
    for key in _set_keys(recipe.freezing):
        yield f"freezing.{key} with {name}: the adapter settles what is frozen. Leave it out."
    if unfreezes(recipe.training):
        yield f"training.unfreeze_every_... with {name}: it would thaw what the adapter freezes."
    if recipe.training.mode == "features":
        yield f'training.mode="features" with {name}: no layer of the encoder is trained there.'
    if recipe.regularization.l2_sp:
        yield f"regularization.l2_sp with {name}: the pretrained weights are frozen."
    if recipe.regularization.reinitialize_layers:
        yield f"regularization.reinitialize_layers with {name}: they would stay random."
    if method == "lora" and recipe.training.average_checkpoints > 1:
        yield (
            f"training.average_checkpoints with {name}: the average of two factors is not the "
            "average of their products."
        )


def unfreezes(training: TrainingSettings) -> bool:
    """Tells whether layers are unfrozen one after the other."""
    keys = ("unfreeze_every_steps", "unfreeze_every_epochs", "unfreeze_every_examples")
    return any(getattr(training, key) is not None for key in keys)


def _is_set(settings: object, key: str) -> bool:
    """Tells whether a setting differs from its default."""
    return getattr(settings, key) != getattr(type(settings), key)


def _set_keys(settings: object) -> list[str]:
    return [key for key in settings.__dataclass_fields__ if _is_set(settings, key)]
