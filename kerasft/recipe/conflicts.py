"""Settings that exclude each other, or have no effect together; refused when a recipe is read.

Two tables hold the rules on two settings, functions the others. A condition of a table is
`section.key="value"`, or a setting's name: set to something other than its default and 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from kerasft.errors import UserError
from kerasft.recipe.recipe import Recipe
from kerasft.recipe.sections import TrainingSettings
from kerasft.recipe.sections.training import OPTIMIZER_SETTINGS
from kerasft.recipe.settings import to_literal

FILES = "files"
_FILE_SETTINGS = (
    *("train_files", "validation_files", "test_files", "text_column", "text_pair_column"),
    *("label_column", "label_columns", "group_column", "label_separator", "delimiter"),
)
_ADAMW = 'training.optimizer="adamw"'
_WINDOWS = 'model.truncation="windows"'
_UNFREEZES = "training.unfreeze_every_..."

# Each setting has no effect, or is impossible, without its condition.
_NEEDED = {
    "model.window_stride": _WINDOWS,
    "training.decay_power": 'training.schedule="polynomial"',
    "training.focal_gamma": 'training.loss="focal"',
    "training.huber_delta": 'training.loss="huber"',
    "training.max_divergences": 'training.on_divergence="skip"',
    "training.average_from": "training.average_checkpoints above 1",
    _UNFREEZES: _ADAMW,
}

_WITHOUT_ENCODER = {
    **dict.fromkeys(
        (
            "training.layer_decay",
            _UNFREEZES,
            "regularization.l2_sp",
            "regularization.stochastic_depth",
            "regularization.reinitialize_layers",
        ),
        "no layer of the encoder is trained.",
    ),
    "performance.gradient_checkpointing": "no layer of the encoder has a gradient to compute.",
}
_WITH_ADAPTER = {
    **dict.fromkeys(
        ("freezing.embeddings", "freezing.lowest_layers", "freezing.encoder"),
        "the adapter settles what is frozen. Leave it out.",
    ),
    _UNFREEZES: "it would thaw what the adapter freezes.",
    'training.mode="features"': "no layer of the encoder is trained there.",
    "regularization.l2_sp": "the pretrained weights are frozen.",
    "regularization.reinitialize_layers": "they would stay random.",
}
# For each condition, the settings that it excludes, and why.
_EXCLUDED: Mapping[str, Mapping[str, str]] = {
    _WINDOWS: {
        "training.jit_compile": "XLA cannot compile a number of windows that changes from batch to "
        "batch.",
        "regularization.mixup_alpha": "it needs texts that are read whole.",
        "regularization.adversarial_epsilon": "it needs texts that are read whole.",
    },
    "training.jit_compile": {
        "performance.gradient_checkpointing": "it was not shown that XLA keeps the second pass "
        "apart from the first, without which no memory is saved. Leave one of them out.",
        "performance.attention_chunk": "XLA cannot compile chunks whose number changes from batch "
        "to batch. Set performance.attention_chunk=0.",
    },
    "training.gradient_accumulation_steps above 1": {
        "training.jit_compile": "XLA cannot compile parts whose size changes from batch to batch."
    },
    "performance.kernels": {"training.jit_compile": "XLA compiles a whole step or nothing."},
    'training.strategy="one_device"': {"training.all_reduce_dtype": "nothing is sent there."},
    'training.loss="focal"': {
        "training.label_smoothing": "one trusts the labels less, the other looks at what "
        "contradicts them. Keep one."
    },
    'training.mode="features"': {
        **_WITHOUT_ENCODER,
        "[augmentation]": "the encoder reads each text once, and no epoch could alter it. Leave "
        "one of them out.",
        _WINDOWS: "a text has one vector there, and not one for each window.",
        "regularization.adversarial_epsilon": "no embeddings are computed.",
    },
    "freezing.encoder=true": _WITHOUT_ENCODER,
    "gradual unfreezing": {
        "training.ema_decay": "the average of a layer that begins late would begin at nothing."
    },
    "regularization.r_drop": {
        "regularization.mixup_alpha": "its two passes would be mixed with different partners. Keep "
        "one."
    },
    'data.label_kind="multi"': {
        "regularization.mixup_alpha": "whether half a label applies has no answer."
    },
    'adapter.method="bitfit"': _WITH_ADAPTER,
    'adapter.method="houlsby"': _WITH_ADAPTER,
    'adapter.method="lora"': {
        **_WITH_ADAPTER,
        "training.average_checkpoints": "the average of two factors is not the average of their "
        "products.",
    },
}


def find_conflicts(recipe: Recipe) -> Iterator[str]:
    """Yields one sentence for each pair of settings that exclude each other."""
    for name, choice in _NEEDED.items():
        if _holds(recipe, name) and not _holds(recipe, choice):
            yield f"{name} needs {choice}."
    for choice, reasons in _EXCLUDED.items():
        if _holds(recipe, choice):
            yield from (
                f"{name} with {choice}: {why}"
                for name, why in reasons.items()
                if _holds(recipe, name)
            )
    for find in (
        _data_conflicts,
        _model_conflicts,
        _training_conflicts,
        _freezing_conflicts,
        _adapter_conflicts,
    ):
        yield from find(recipe)


def require_train_files(recipe: Recipe) -> None:
    """Checks that a run on files has training files; a recipe may leave them to the command line.

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
    """Whether training texts are augmented: whether any probability of `[augmentation]` is set."""
    chances = recipe.augmentation
    return any(
        (chances.deletion, chances.swap, chances.word_dropout, chances.typos, chances.casing)
    )


def unfreezes(training: TrainingSettings) -> bool:
    """Whether gradual unfreezing is on."""
    keys = ("unfreeze_every_steps", "unfreeze_every_epochs", "unfreeze_every_examples")
    return any(getattr(training, key) is not None for key in keys)


_NAMED: Mapping[str, Callable[[Recipe], bool]] = {
    "[augmentation]": augments,
    "gradual unfreezing": lambda recipe: unfreezes(recipe.training),
    _UNFREEZES: lambda recipe: unfreezes(recipe.training),
}


def _holds(recipe: Recipe, condition: str) -> bool:
    """Whether a recipe meets a condition of the tables."""
    if condition in _NAMED:
        return _NAMED[condition](recipe)
    name, _, value = condition.removesuffix(" above 1").partition("=")
    section, key = name.split(".")
    settings = getattr(recipe, section)
    if value:
        return to_literal(getattr(settings, key)) == value
    return bool(getattr(settings, key)) and _is_set(settings, key)


def _is_set(settings: object, key: str) -> bool:
    """Whether a setting differs from its default."""
    return getattr(settings, key) != getattr(type(settings), key)


def _data_conflicts(recipe: Recipe) -> Iterator[str]:
    data = recipe.data
    if data.oversample and recipe.training.class_weights is not None:
        yield (
            "data.oversample and training.class_weights both balance the classes: together they "
            "would do it twice. Keep one."
        )
    if data.dataset != FILES:
        for key in _FILE_SETTINGS:
            if getattr(data, key):
                yield f'data.{key} needs data.dataset="files", and that is "{data.dataset}".'
        if data.label_kind != "auto":
            yield (
                'data.label_kind needs data.dataset="files": TFDS knows the kind of '
                f"{data.dataset}."
            )
        return
    if data.data_dir is not None or data.validation_split is not None:
        yield (
            "data.data_dir and data.validation_split name a TFDS dataset; with "
            'data.dataset="files" give data.validation_files.'
        )
    if not data.label_columns:
        return
    if data.label_column is not None or data.label_separator is not None:
        yield (
            "data.label_columns name the labels, and data.label_column or data.label_separator is "
            "set, too: keep one of them."
        )
    if data.label_kind not in ("auto", "multi"):
        yield f'data.label_columns hold several labels to a text, not "{data.label_kind}".'
    if len(data.label_columns) < 2:
        yield "data.label_columns names one column: name it in data.label_column."


def _model_conflicts(recipe: Recipe) -> Iterator[str]:
    model, regularization, share = recipe.model, recipe.regularization, recipe.augmentation.share
    if model.truncation == "windows":
        if model.window_stride is not None and model.window_stride > model.sequence_length - 2:
            yield (
                f"model.window_stride={model.window_stride} would skip tokens: at most "
                f"model.sequence_length - 2 = {model.sequence_length - 2}."
            )
        if recipe.training.sequence_length not in (None, model.sequence_length):
            yield (
                f"training.sequence_length with {_WINDOWS}: training reads the same "
                "windows as serving. Leave training.sequence_length out."
            )
    dropouts = (model.dropout, model.head_dropout, model.attention_dropout)
    if regularization.r_drop and not any((*dropouts, regularization.stochastic_depth)):
        yield "regularization.r_drop needs dropout: without it both passes are the same."
    if share < 1 and not augments(recipe):
        yield (
            f"augmentation.share={share} alters nothing: deletion, swap, word_dropout, typos "
            "and casing are all 0. Set one of them, or leave augmentation.share out."
        )


def _training_conflicts(recipe: Recipe) -> Iterator[str]:
    training = recipe.training
    own = OPTIMIZER_SETTINGS[training.optimizer]
    for key in sorted({key for keys in OPTIMIZER_SETTINGS.values() for key in keys} - {*own}):
        if _is_set(training, key):
            yield f'training.{key}: the optimizer "{training.optimizer}" has no such setting.'
    if training.dtype_policy == "mixed_float16" and training.optimizer != "adamw":
        yield (
            f'training.dtype_policy="mixed_float16" needs {_ADAMW}: only that '
            "one can pass over a step that overflows."
        )
    if training.schedule == "constant" and training.end_learning_rate:
        yield 'training.end_learning_rate: the rate never falls with training.schedule="constant".'


def _freezing_conflicts(recipe: Recipe) -> Iterator[str]:
    freezing, training = recipe.freezing, recipe.training
    frozen = [f"freezing.{key}" for key in freezing.__dataclass_fields__ if _is_set(freezing, key)]
    if freezing.embeddings and freezing.lowest_layers:
        yield "freezing.embeddings: freezing.lowest_layers freezes them already. Leave it out."
    if freezing.encoder and len(frozen) > 1:
        yield "freezing.encoder freezes all of the encoder already. Leave the others out."
    if frozen and unfreezes(training):
        yield f"{frozen[0]} with gradual unfreezing: that begins with all frozen but the top."
    if training.mode == "features":
        features = 'training.mode="features"'
        for name in frozen:
            yield f"{name}: with {features} all of the encoder is frozen. Leave it out."


def _adapter_conflicts(recipe: Recipe) -> Iterator[str]:
    adapter, method = recipe.adapter, recipe.adapter.method
    needs = dict.fromkeys(("matrices", "rank", "alpha", "dropout"), "lora")
    for key, needed in (needs | {"bottleneck_dim": "houlsby"}).items():
        if method != needed and _is_set(adapter, key):
            yield f'adapter.{key} needs adapter.method="{needed}", and that is "{method}".'
    if method == "none" and adapter.init_from is not None:
        yield "adapter.init_from needs adapter.method: set it to that of the adapter."
