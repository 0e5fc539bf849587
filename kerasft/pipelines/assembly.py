"""Makes the pieces of a run out of its recipe: preprocessor, task, model, optimizer."""

from __future__ import annotations

import keras

from kerasft.data.batch_plan import BatchPlan
from kerasft.data.example import NUMBER, SINGLE
from kerasft.data.sources import Source
from kerasft.errors import UserError
from kerasft.models.encoder import Encoder
from kerasft.models.presets import Preset, load_preset
from kerasft.recipe import Recipe, resolve_duration
from kerasft.tasks.task import Task, build_task
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.fine_tuner import FineTuner
from kerasft.training.optimizer import AdamW
from kerasft.training.schedule import WarmupPolynomialDecay

WINDOWS = "windows"


def build_preprocessor(
    recipe: Recipe, preset: Preset, *, sequence_length: int | None = None
) -> WordPiecePreprocessor:
    """Builds the graph from raw text to token ids.

    Args:
        recipe: The recipe.
        preset: The encoder.
        sequence_length: Tokens kept; `None` is what evaluation and serving keep.

    Raises:
        UserError: If the recipe's sequences are longer than the preset's positions reach.
    """
    key = "model.sequence_length" if sequence_length is None else "training.sequence_length"
    sequence_length = sequence_length or recipe.model.sequence_length
    longest = getattr(preset.backbone, "max_sequence_length", None)
    if longest is not None and sequence_length > longest:
        raise UserError(
            f"{key} is longer than {preset.name} can read.",
            received=sequence_length,
            expected=f"at most {longest}",
            fix=f"set {key}={longest}.",
        )
    return WordPiecePreprocessor(
        preset.vocabulary,
        lowercase=preset.lowercase,
        sequence_length=sequence_length,
        truncation=recipe.model.truncation,
        head_fraction=recipe.model.head_fraction,
        break_tags=recipe.data.break_tags,
        window_stride=recipe.model.window_stride,
        max_windows=recipe.model.max_windows,
    )


def build_recipe_task(recipe: Recipe, source: Source) -> Task:
    """Builds the task that a recipe makes of a source's labels.

    Raises:
        UserError: If a setting asks for what this kind of label has not.
    """
    low, high = recipe.model.minimum_value, recipe.model.maximum_value
    smoothing = recipe.training.label_smoothing
    kind = source.label_kind
    if kind != NUMBER and (low, high) != (None, None):
        raise _does_not_fit("model.minimum_value and model.maximum_value", "numbers", kind)
    if kind != SINGLE and smoothing:
        raise _does_not_fit("training.label_smoothing", "classes, one to a text", kind)
    balanced = recipe.data.oversample or recipe.training.class_weights is not None
    return build_task(
        kind,
        source.label_names,
        headline=recipe.evaluation.headline or ("f1_macro" if balanced else None),
        label_smoothing=smoothing,
        value_range=(low, high),
    )


def _does_not_fit(setting: str, wanted: str, kind: str) -> UserError:
    return UserError(
        f"{setting} is for labels that are {wanted}.",
        received=f"labels of the kind {kind}",
        fix="leave it out.",
    )


def load_recipe_preset(recipe: Recipe, *, dtype: str) -> Preset:
    """Loads the recipe's preset under a dtype policy."""
    return load_preset(recipe.model.preset, dropout=recipe.model.dropout, dtype=dtype)


def build_model(recipe: Recipe, preset: Preset, task: Task) -> FineTuner:
    """Builds the model, not compiled yet: enough for evaluation and export."""
    encoder = Encoder(preset.backbone, pooling=recipe.model.pooling)
    head = task.build_head(
        hidden_dim=encoder.hidden_dim,
        dropout=recipe.model.head_dropout,
        seed=recipe.training.seed,
    )
    windows = recipe.model.truncation == WINDOWS
    return FineTuner(
        encoder,
        head,
        global_clipnorm=recipe.training.global_clipnorm,
        window_length=recipe.model.sequence_length if windows else None,
    )


def compile_model(
    model: FineTuner, recipe: Recipe, task: Task, *, total_steps: int, warmup_steps: int
) -> None:
    """Compiles the model with AdamW, warm-up and polynomial decay, the task's loss and metrics."""
    settings = recipe.training
    schedule = WarmupPolynomialDecay(
        settings.learning_rate,
        warmup_steps=min(warmup_steps, total_steps),
        total_steps=total_steps,
        end_learning_rate=settings.end_learning_rate,
        power=settings.decay_power,
    )
    optimizer = AdamW(
        schedule,
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
    )
    model.compile(
        optimizer=optimizer,
        loss=task.build_loss(),
        metrics=task.build_metrics(),
        jit_compile=settings.jit_compile,
    )
    optimizer.build(model.trainable_variables)


def steps_of(recipe: Recipe, plan: BatchPlan, family: str, total_steps: int | None = None) -> int:
    """Returns a duration of the recipe in steps."""
    return resolve_duration(
        recipe.training,
        family,
        steps_per_epoch=plan.steps_per_epoch,
        batch_size=plan.batch_size,
        total_steps=total_steps,
    )


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and TensorFlow."""
    keras.utils.set_random_seed(seed)
