"""Builds the parts of a run from its recipe: preprocessor, task, model, optimizer."""

from __future__ import annotations

from types import ModuleType

from kerasft.data.example import MULTI, NUMBER, SINGLE
from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.data.sources.source import Source
from kerasft.errors import UserError
from kerasft.models.adapters.adapter import add_adapter
from kerasft.models.depth import first_steps, freeze, rate_scales, reinitialize
from kerasft.models.encoder import Encoder
from kerasft.models.presets import Preset, load_preset
from kerasft.recipe import Recipe, resolve_duration
from kerasft.runs.model.performance import attention_chunk, lazy_table, updates_rows
from kerasft.tasks.task import Task, build_task
from kerasft.text.wordpiece import WINDOWS, WordPiecePreprocessor
from kerasft.training.step.fine_tuner import FEATURES, FineTuner
from kerasft.training.step.objective import Objective
from kerasft.training.step.optimizer import build_optimizer
from kerasft.training.step.penalties import Penalties
from kerasft.training.step.schedule import build_schedule


def build_preprocessor(recipe: Recipe, preset: Preset) -> WordPiecePreprocessor:
    """Builds the graph from raw text to the token ids of evaluation and serving.

    Raises:
        UserError: The recipe's sequences are longer than the preset's position embeddings, or it
            augments what the preset does not see.
    """
    longest = getattr(preset.backbone, "max_sequence_length", None)
    for section in ("model", "training"):
        length = getattr(recipe, section).sequence_length
        if None not in (longest, length) and length > longest:
            raise UserError(
                f"{section}.sequence_length is longer than {preset.name} can read.",
                received=length,
                expected=f"at most {longest}",
                fix=f"set {section}.sequence_length={longest}.",
            )
    if recipe.augmentation.casing and preset.lowercase:
        raise UserError(
            "A change of case does nothing to a preset that reads all text in lower case.",
            received=f"augmentation.casing={recipe.augmentation.casing} with {preset.name}",
            expected="a cased preset; kerasft presets lists them",
            fix="leave augmentation.casing out, or set another model.preset.",
        )
    return WordPiecePreprocessor(
        preset.vocabulary,
        lowercase=preset.lowercase,
        sequence_length=recipe.model.sequence_length,
        truncation=recipe.model.truncation,
        head_fraction=recipe.model.head_fraction,
        break_tags=recipe.data.break_tags,
        window_stride=recipe.model.window_stride,
        max_windows=recipe.model.max_windows,
    )


def training_preprocessor(
    recipe: Recipe, preprocessor: WordPiecePreprocessor
) -> WordPiecePreprocessor:
    """Returns the preprocessor of training texts, which may keep fewer tokens."""
    length = recipe.training.sequence_length
    if length in (None, preprocessor.sequence_length):
        return preprocessor
    return preprocessor.variant(sequence_length=length)


def build_recipe_task(
    recipe: Recipe, source: Source, *, target_scaling: tuple[float, float] = (0.0, 1.0)
) -> Task:
    """Builds the task for a source's labels.

    `target_scaling` is mean and standard deviation of the training targets of a regression.

    Raises:
        UserError: If a setting is unsupported by this task.
    """
    low, high = recipe.model.minimum_value, recipe.model.maximum_value
    smoothing = recipe.training.label_smoothing
    kind = source.label_kind
    if kind != NUMBER and (low, high) != (None, None):
        raise _does_not_fit("model.minimum_value and model.maximum_value", "numbers", kind)
    if kind != SINGLE and smoothing:
        raise _does_not_fit("training.label_smoothing", "classes, one to a text", kind)
    loss = recipe.training.loss
    if loss != "auto" and (loss == "huber") != (kind == NUMBER):
        wanted = "numbers" if loss == "huber" else "classes, one or several to a text"
        raise _does_not_fit(f'training.loss="{loss}"', wanted, kind)
    if kind == MULTI and recipe.regularization.mixup_alpha:
        raise _does_not_fit("regularization.mixup_alpha", "classes, or numbers", kind)
    balanced = recipe.data.oversample or recipe.training.class_weights is not None
    return build_task(
        kind,
        source.label_names,
        headline=recipe.evaluation.headline or ("f1_macro" if balanced else None),
        label_smoothing=smoothing,
        value_range=(low, high),
        focal_gamma=recipe.training.focal_gamma if loss == "focal" else None,
        huber_delta=recipe.training.huber_delta if loss == "huber" else None,
        target_scaling=target_scaling,
    )


def _does_not_fit(setting: str, wanted: str, kind: str) -> UserError:
    return UserError(
        f"{setting} is for labels that are {wanted}.",
        received=f"labels of the kind {kind}",
        fix="leave it out.",
    )


def load_recipe_preset(recipe: Recipe, *, dtype: str) -> Preset:
    """Loads the recipe's preset under a dtype policy."""
    return load_preset(
        recipe.model.preset,
        dropout=recipe.model.dropout,
        attention_dropout=recipe.model.attention_dropout,
        dtype=dtype,
    )


def build_model(recipe: Recipe, preset: Preset, task: Task) -> FineTuner:
    """Builds the model without compiling it, which is enough for evaluation and export."""
    regularization = recipe.regularization
    encoder = Encoder(
        preset.backbone,
        pooling=recipe.model.pooling,
        stochastic_depth=regularization.stochastic_depth,
        gradient_checkpointing=recipe.performance.gradient_checkpointing,
        attention_chunk=attention_chunk(recipe),
    )
    _add_recipe_adapter(recipe, encoder)
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
        accumulation_steps=recipe.training.gradient_accumulation_steps,
        objective=Objective(
            r_drop=regularization.r_drop,
            divergence=task.divergence,
            mixup_alpha=regularization.mixup_alpha,
            adversarial_epsilon=regularization.adversarial_epsilon,
        ),
        penalties=Penalties(l1=regularization.l1, l2=regularization.l2, l2_sp=regularization.l2_sp),
    )


def _add_recipe_adapter(recipe: Recipe, encoder: Encoder) -> None:
    """Adds an adapter to the encoder, if the recipe asks for one."""
    settings = recipe.adapter
    if settings.method != "none":
        add_adapter(
            encoder,
            method=settings.method,
            matrices=settings.matrices,
            rank=settings.rank,
            alpha=settings.alpha,
            dropout=settings.dropout,
            bottleneck_dim=settings.bottleneck_dim,
            seed=recipe.training.seed,
        )


def settle_training(model: FineTuner, recipe: Recipe) -> None:
    """Sets the encoder's initial weights for training, and which of them are trainable.

    Raises `UserError` if the encoder has fewer layers than the recipe names.
    """
    freezing = recipe.freezing
    reinitialize(
        model.encoder, recipe.regularization.reinitialize_layers, seed=recipe.training.seed
    )
    freeze(
        model.encoder,
        embeddings=freezing.embeddings,
        lowest_layers=freezing.lowest_layers,
        everything=freezing.encoder or recipe.training.mode == FEATURES,
    )
    model.penalties.remember_start(model.encoder.trainable_weights)


def compile_model(
    model: FineTuner,
    recipe: Recipe,
    task: Task,
    *,
    total_steps: int,
    warmup_steps: int,
    unfreeze_every: int = 0,
    kernels: ModuleType | None = None,
) -> None:
    """Compiles the model with the recipe's optimizer and schedule, the task's loss and metrics."""
    settings = recipe.training
    schedule = build_schedule(
        settings.schedule,
        settings.learning_rate,
        warmup_steps=warmup_steps,
        total_steps=total_steps,
        end_learning_rate=settings.end_learning_rate,
        power=settings.decay_power,
    )
    head_rate = settings.head_learning_rate or settings.learning_rate
    scales = rate_scales(
        model.encoder,
        model.head,
        layer_decay=settings.layer_decay,
        head_scale=head_rate / settings.learning_rate,
    )
    optimizer = build_optimizer(
        settings.optimizer,
        schedule,
        weight_decay=settings.weight_decay,
        rate_scales=scales,
        first_steps=first_steps(model.encoder, unfreeze_every) if unfreeze_every else None,
        ema_decay=settings.ema_decay,
        lazy_table=lazy_table(model, recipe),
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        momentum=settings.momentum,
    )
    model.compile(
        optimizer=optimizer,
        loss=task.build_loss(),
        metrics=task.build_metrics(),
        jit_compile=settings.jit_compile,
        all_reduce_dtype=settings.all_reduce_dtype,
        updates_rows=updates_rows(recipe),
        kernels=kernels,
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
