"""Settings that exclude each other, or that would do nothing beside another.

They are refused when the recipe is read. A rule is a pair: whether the recipe breaks it, and the
sentence that says why the settings do not go together.
"""

from __future__ import annotations

from collections.abc import Iterator

from kerasft.errors import UserError
from kerasft.recipe.recipe import Recipe
from kerasft.recipe.sections import TrainingSettings
from kerasft.recipe.sections.training import OPTIMIZER_SETTINGS

FILES = "files"
_FILE_SETTINGS = (
    *("train_files", "validation_files", "test_files", "text_column", "text_pair_column"),
    *("label_column", "label_columns", "group_column", "label_separator"),
)
_WINDOWS = 'model.truncation="windows"'

Rules = Iterator[tuple[bool, str]]


def find_conflicts(recipe: Recipe) -> Iterator[str]:
    """Yields one sentence for each rule that the recipe breaks."""
    for find_rules in _RULES:
        yield from (sentence for is_broken, sentence in find_rules(recipe) if is_broken)


def require_train_files(recipe: Recipe) -> None:
    """Checks that a run on files is told which; a recipe may leave that to the command line.

    Raises:
        UserError: The dataset is "files", and there are none to train on.
    """
    if recipe.data.dataset == FILES and not recipe.data.train_files:
        raise UserError(
            f"The recipe {recipe.name} names no files to train on.",
            expected="data.train_files, for which --train of the pipeline classify stands",
            fix="python -m kerasft.pipelines.classify --train reviews.csv --text body "
            "--label stars",
        )


def augments(recipe: Recipe) -> bool:
    """Tells whether training texts are altered: whether any chance of `[augmentation]` is set."""
    chances = recipe.augmentation
    return any(
        (chances.deletion, chances.swap, chances.word_dropout, chances.typos, chances.casing)
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


def _file_rules(recipe: Recipe) -> Rules:
    data = recipe.data
    reads_files, columns = data.dataset == FILES, data.label_columns
    yield (
        reads_files and (data.data_dir is not None or data.validation_split is not None),
        "data.data_dir and data.validation_split name a TFDS dataset; with "
        'data.dataset="files" give data.validation_files.',
    )
    yield (
        reads_files
        and bool(columns)
        and (data.label_column is not None or data.label_separator is not None),
        "data.label_columns name the labels, and data.label_column or data.label_separator is "
        "set, too: keep one of them.",
    )
    yield (
        reads_files and bool(columns) and data.label_kind not in ("auto", "multi"),
        f'data.label_columns hold several labels to a text, not "{data.label_kind}".',
    )
    yield (
        reads_files and len(columns) == 1,
        "data.label_columns names one column: name it in data.label_column.",
    )
    for key in _FILE_SETTINGS:
        yield (
            not reads_files and bool(getattr(data, key)),
            f'data.{key} needs data.dataset="files", and that is "{data.dataset}".',
        )
    yield (
        not reads_files and data.label_kind != "auto",
        f'data.label_kind needs data.dataset="files": TFDS knows the kind of {data.dataset}.',
    )


def _window_rules(recipe: Recipe) -> Rules:
    model, training = recipe.model, recipe.training
    windows, stride = model.truncation == "windows", model.window_stride
    largest = model.sequence_length - 2
    yield (
        not windows and stride is not None,
        'model.window_stride needs model.truncation="windows".',
    )
    yield (
        windows and stride is not None and stride > largest,
        f"model.window_stride={stride} would skip tokens: at most model.sequence_length - 2 = "
        f"{largest}.",
    )
    yield (
        windows and training.sequence_length not in (None, model.sequence_length),
        f"training.sequence_length with {_WINDOWS}: training reads the same "
        "windows as serving. Leave training.sequence_length out.",
    )
    yield (
        windows and training.jit_compile,
        f"training.jit_compile with {_WINDOWS}: XLA cannot compile a number of "
        "windows that changes from batch to batch.",
    )


def _balance_and_augmentation_rules(recipe: Recipe) -> Rules:
    share = recipe.augmentation.share
    yield (
        recipe.data.oversample and recipe.training.class_weights is not None,
        "data.oversample and training.class_weights both balance the classes: together they "
        "would do it twice. Keep one.",
    )
    yield (
        share < 1 and not augments(recipe),
        f"augmentation.share={share} alters nothing: deletion, swap, word_dropout, typos "
        "and casing are all 0. Set one of them, or leave augmentation.share out.",
    )
    yield (
        augments(recipe) and recipe.training.mode == "features",
        '[augmentation] with training.mode="features": the encoder reads each text once, and '
        "no epoch could alter it. Leave one of them out.",
    )


def _optimizer_rules(recipe: Recipe) -> Rules:
    """What the chosen optimizer does not have."""
    training = recipe.training
    own = OPTIMIZER_SETTINGS[training.optimizer]
    for key in sorted({key for keys in OPTIMIZER_SETTINGS.values() for key in keys} - {*own}):
        yield (
            _is_set(training, key),
            f'training.{key}: the optimizer "{training.optimizer}" has no such setting.',
        )
    yield (
        training.dtype_policy == "mixed_float16" and training.optimizer != "adamw",
        'training.dtype_policy="mixed_float16" needs training.optimizer="adamw": only that '
        "one can pass over a step that overflows.",
    )


def _idle_rules(recipe: Recipe) -> Rules:
    """Settings that would do nothing beside the choice that was made."""
    training = recipe.training
    needs = {
        "decay_power": ("schedule", "polynomial"),
        "focal_gamma": ("loss", "focal"),
        "huber_delta": ("loss", "huber"),
        "max_divergences": ("on_divergence", "skip"),
    }
    for key, (choice, value) in needs.items():
        yield (
            _is_set(training, key) and getattr(training, choice) != value,
            f'training.{key} needs training.{choice}="{value}".',
        )
    yield (
        training.schedule == "constant" and bool(training.end_learning_rate),
        'training.end_learning_rate: the rate never falls with training.schedule="constant".',
    )
    yield (
        training.all_reduce_dtype != "float32" and training.strategy == "one_device",
        'training.all_reduce_dtype with training.strategy="one_device": nothing is sent there.',
    )
    yield (
        training.average_from != "best" and training.average_checkpoints == 1,
        "training.average_from needs training.average_checkpoints above 1.",
    )
    yield (
        training.loss == "focal" and bool(training.label_smoothing),
        'training.label_smoothing with training.loss="focal": one trusts the labels less, the '
        "other looks at what contradicts them. Keep one.",
    )


def _freezing_rules(recipe: Recipe) -> Rules:
    freezing, training = recipe.freezing, recipe.training
    frozen = [f"freezing.{key}" for key in _set_keys(freezing)]
    yield (
        freezing.embeddings and bool(freezing.lowest_layers),
        "freezing.embeddings: freezing.lowest_layers freezes them already. Leave it out.",
    )
    yield (
        freezing.encoder and len(frozen) > 1,
        "freezing.encoder freezes all of the encoder already. Leave the others out.",
    )
    if freezing.encoder:
        yield from _rules_without_encoder(recipe, "freezing.encoder=true")
    if not unfreezes(training):
        return
    yield (
        bool(frozen),
        f"{''.join(frozen[:1])} with gradual unfreezing: that begins with all frozen but the top.",
    )
    yield (
        training.optimizer != "adamw",
        'training.unfreeze_every_... needs training.optimizer="adamw".',
    )
    yield (
        bool(training.ema_decay),
        "training.ema_decay with gradual unfreezing: the average of a layer that begins late "
        "would begin at nothing.",
    )


def _features_rules(recipe: Recipe) -> Rules:
    if recipe.training.mode != "features":
        return
    name = 'training.mode="features"'
    yield from _rules_without_encoder(recipe, name)
    for key in _set_keys(recipe.freezing):
        yield True, f"freezing.{key}: with {name} all of the encoder is frozen. Leave it out."
    yield (
        recipe.model.truncation == "windows",
        f"{_WINDOWS} with {name}: a text has one vector there, and not one for each window.",
    )
    yield (
        bool(recipe.regularization.adversarial_epsilon),
        f"regularization.adversarial_epsilon with {name}: no embeddings are computed.",
    )


def _rules_without_encoder(recipe: Recipe, reason: str) -> Rules:
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
        yield is_wanted, f"{setting} with {reason}: no layer of the encoder is trained."


def _objective_rules(recipe: Recipe) -> Rules:
    regularization, model = recipe.regularization, recipe.model
    mixup, r_drop = bool(regularization.mixup_alpha), bool(regularization.r_drop)
    dropouts = (model.dropout, model.head_dropout, model.attention_dropout)
    yield (
        r_drop and not any((*dropouts, regularization.stochastic_depth)),
        "regularization.r_drop needs dropout: without it both passes are the same.",
    )
    yield (
        mixup and r_drop,
        "regularization.mixup_alpha with regularization.r_drop: its two passes would be mixed "
        "with different partners. Keep one.",
    )
    yield (
        mixup and recipe.data.label_kind == "multi",
        'regularization.mixup_alpha with data.label_kind="multi": whether half a label applies '
        "has no answer.",
    )
    for key in ("mixup_alpha", "adversarial_epsilon"):
        yield (
            model.truncation == "windows" and bool(getattr(regularization, key)),
            f"regularization.{key} with {_WINDOWS}: it needs texts that are read whole.",
        )


def _compile_rules(recipe: Recipe) -> Rules:
    training = recipe.training
    yield (
        training.jit_compile and training.gradient_accumulation_steps > 1,
        "training.jit_compile with training.gradient_accumulation_steps above 1: XLA cannot "
        "compile parts whose size changes from batch to batch.",
    )
    yield (
        training.jit_compile and bool(recipe.performance.kernels),
        "training.jit_compile with performance.kernels: XLA compiles a whole step or nothing.",
    )


def _adapter_rules(recipe: Recipe) -> Rules:
    adapter, method = recipe.adapter, recipe.adapter.method
    needs = dict.fromkeys(("matrices", "rank", "alpha", "dropout"), "lora")
    for key, needed in (needs | {"bottleneck_dim": "houlsby"}).items():
        yield (
            method != needed and _is_set(adapter, key),
            f'adapter.{key} needs adapter.method="{needed}", and that is "{method}".',
        )
    if method == "none":
        yield (
            adapter.init_from is not None,
            "adapter.init_from needs adapter.method: set it to that of the adapter.",
        )
        return
    name = f'adapter.method="{method}"'
    for key in _set_keys(recipe.freezing):
        yield True, f"freezing.{key} with {name}: the adapter settles what is frozen. Leave it out."
    yield (
        unfreezes(recipe.training),
        f"training.unfreeze_every_... with {name}: it would thaw what the adapter freezes.",
    )
    yield (
        recipe.training.mode == "features",
        f'training.mode="features" with {name}: no layer of the encoder is trained there.',
    )
    yield (
        bool(recipe.regularization.l2_sp),
        f"regularization.l2_sp with {name}: the pretrained weights are frozen.",
    )
    yield (
        bool(recipe.regularization.reinitialize_layers),
        f"regularization.reinitialize_layers with {name}: they would stay random.",
    )
    yield (
        method == "lora" and recipe.training.average_checkpoints > 1,
        f"training.average_checkpoints with {name}: the average of two factors is not the "
        "average of their products.",
    )


def _performance_rules(recipe: Recipe) -> Rules:
    performance, jit_compile = recipe.performance, recipe.training.jit_compile
    name = "performance.gradient_checkpointing"
    yield (
        performance.gradient_checkpointing and jit_compile,
        f"{name} with training.jit_compile: it was not shown that XLA keeps the second pass "
        "apart from the first, without which no memory is saved. Leave one of them out.",
    )
    untrained = {
        "freezing.encoder=true": recipe.freezing.encoder,
        'training.mode="features"': recipe.training.mode == "features",
    }
    for reason, is_chosen in untrained.items():
        yield (
            performance.gradient_checkpointing and is_chosen,
            f"{name} with {reason}: no layer of the encoder has a gradient to compute.",
        )
    yield (
        bool(performance.attention_chunk) and jit_compile,
        "performance.attention_chunk with training.jit_compile: XLA cannot compile chunks "
        "whose number changes from batch to batch. Set performance.attention_chunk=0.",
    )


_RULES = (
    _file_rules,
    _window_rules,
    _balance_and_augmentation_rules,
    _optimizer_rules,
    _idle_rules,
    _freezing_rules,
    _features_rules,
    _objective_rules,
    _compile_rules,
    _adapter_rules,
    _performance_rules,
)
