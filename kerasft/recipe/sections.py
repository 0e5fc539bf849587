"""The sections of a recipe and their settings: one line each, with type, default and rule.

Adding a setting is adding a line here and the code that obeys it; a test perturbs every field and
expects the run to change.
"""

from __future__ import annotations

import dataclasses

from kerasft.recipe.durations import settle_durations
from kerasft.recipe.rules import (
    CLASS_WEIGHTS,
    DISTINCT,
    FOLDER_NAME,
    SEPARATOR,
    above,
    above_up_to,
    at_least,
    between,
    from_up_to,
    inside,
    one_of,
    one_of_or_matching,
    setting,
)

_HEADLINES = (
    "accuracy",
    "f1_macro",
    "matthews_correlation",
    "roc_auc",
    "f1_micro",
    "f1_samples",
    "average_precision_macro",
    "subset_accuracy",
    "pearson",
    "spearman",
    "r2",
)
_MONITORS = (
    "auto",
    *(f"validation/{name}" for name in _HEADLINES),
    "validation/precision_macro",
    "validation/recall_macro",
    "validation/precision_micro",
    "validation/recall_micro",
    "validation/log_loss",
    "validation/expected_calibration_error",
    "validation/hamming_loss",
    "validation/mean_squared_error",
    "validation/mean_absolute_error",
)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """`[data]`: which examples."""

    dataset: str = setting(
        "imdb_reviews", 'A TFDS name, "files" for files of your own, or "builtin-sample".'
    )
    data_dir: str | None = setting(None, "The only TFDS folder looked in; unset: the usual places.")
    train_split: str = setting("train", "The dataset's split to train on.")
    validation_split: str | None = setting(
        None, "The dataset's split to validate on; unset: held out of train."
    )
    test_splits: tuple[str, ...] = setting(
        ("test",),
        "The dataset's splits to test on. Metrics of the first are test/..., of another "
        "test_<split>/...; none: the run ends with validation.",
        DISTINCT,
    )
    train_files: tuple[str, ...] = setting(
        (), 'Files to train on, or globs, or a folder with one folder a class (dataset="files").'
    )
    validation_files: tuple[str, ...] = setting(
        (), "Files to validate on; none: held out of train."
    )
    test_files: tuple[str, ...] = setting((), "Files to test on; none: the run has no test.")
    format: str = setting(
        "auto",
        "Format of the files; auto: by their names. Each may be gzipped.",
        one_of("auto", "csv", "tsv", "jsonl", "parquet", "folder"),
    )
    text_column: str | None = setting(None, "Column of the text; unset: guessed, and said.")
    text_pair_column: str | None = setting(None, "Column of the second text; unset: none.")
    label_column: str | None = setting(None, "Column of the label; unset: guessed, and said.")
    group_column: str | None = setting(
        None, "Column whose equal values never stand in two splits; unset: none."
    )
    label_kind: str = setting(
        "auto",
        "One label a text, several, or a number; auto: detected, and said (files only).",
        one_of("auto", "single", "multi", "number"),
    )
    label_separator: str | None = setting(
        None, "What stands between several labels in a cell; unset: detected.", SEPARATOR
    )
    oversample: bool = setting(
        False, "Repeat examples of the smaller classes in training until all are equal."
    )
    train_examples: int | None = setting(
        None,
        "Train on so many, drawn by training.seed; validation shrinks with it. Unset: all.",
        at_least(1),
    )
    test_examples: int | None = setting(
        None, "Test on so many, drawn by training.seed; unset: all.", at_least(1)
    )
    validation_fraction: float = setting(
        0.1, "Share of train held out for validation, by a hash of the text.", inside(0, 1)
    )
    break_tags: str = setting(
        "space", "What becomes of <br /> tags: a space, or kept.", one_of("space", "keep")
    )
    keep_train_test_duplicates: bool = setting(
        False, "Train also on texts that stand in test as well."
    )
    allow_builtin_sample: bool = setting(
        False,
        "Fall back on the built-in sample when the data cannot be had (shipped recipes only).",
    )


@dataclasses.dataclass(frozen=True)
class ModelSettings:
    """`[model]`: the encoder, what it reads and the head on top."""

    preset: str = setting(
        "minilm_l6_en_uncased", "Pretrained encoder: a KerasHub name, hf://..., or a folder."
    )
    sequence_length: int = setting(
        256,
        "Tokens kept of an example in evaluation and serving, [CLS] and [SEP] included.",
        between(8, 8192),
    )
    truncation: str = setting(
        "head_tail",
        "Which part of a long text is kept.",
        one_of("head_tail", "head", "tail", "windows"),
    )
    window_stride: int | None = setting(
        None,
        "Tokens from one window's start to the next one's, for windows; unset: half a window.",
        at_least(1),
    )
    max_windows: int = setting(
        4, "Windows read of a text at most, for windows; their logits are averaged.", at_least(1)
    )
    head_fraction: float = setting(
        0.5, "Share of the kept tokens taken from the head, for head_tail.", between(0, 1)
    )
    pooling: str = setting(
        "mean", "What of the encoder's output the head sees.", one_of("mean", "cls", "pooled")
    )
    minimum_value: float | None = setting(
        None, "Answers of a model of numbers are not below this; unset: no bound."
    )
    maximum_value: float | None = setting(
        None, "Answers of a model of numbers are not above this; unset: no bound."
    )
    init_from: str | None = setting(
        None, "A run directory whose best encoder replaces the preset's weights; the head is new."
    )
    dropout: float = setting(0.1, "Dropout inside the encoder.", between(0, 0.9))
    head_dropout: float = setting(0.1, "Dropout before the head.", between(0, 0.9))


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """`[training]`: how long, how fast, on what.

    The members of one duration family are alternatives; after construction exactly one of each
    family is set.
    """

    epochs: float | None = setting(None, "Length of the run in passes over train.", above(0))
    steps: int | None = setting(None, "Length of the run in steps.", at_least(1))
    examples: int | None = setting(None, "Length of the run in examples seen.", at_least(1))
    warmup_steps: int | None = setting(None, "Warm-up in steps.", at_least(0))
    warmup_epochs: float | None = setting(None, "Warm-up in epochs.", at_least(0))
    warmup_examples: int | None = setting(None, "Warm-up in examples.", at_least(0))
    warmup_fraction: float | None = setting(None, "Warm-up as a share of the run.", between(0, 1))
    evaluate_every_steps: int | None = setting(None, "Validate every so many steps.", at_least(1))
    evaluate_every_epochs: float | None = setting(None, "Validate every so many epochs.", above(0))
    evaluate_every_examples: int | None = setting(
        None, "Validate every so many examples.", at_least(1)
    )
    checkpoint_every_steps: int | None = setting(
        None, "Save a checkpoint every so many steps.", at_least(1)
    )
    checkpoint_every_epochs: float | None = setting(
        None, "Save a checkpoint every so many epochs.", above(0)
    )
    checkpoint_every_examples: int | None = setting(
        None, "Save a checkpoint every so many examples.", at_least(1)
    )
    sequence_length: int | None = setting(
        None,
        "Tokens kept of an example in training; unset: model.sequence_length. Shorter is faster.",
        between(8, 8192),
    )
    batch_size: int = setting(32, "Examples in one step, over all replicas.", at_least(1))
    learning_rate: float = setting(
        5e-5, "The peak, reached at the end of the warm-up.", above_up_to(0, 1)
    )
    end_learning_rate: float = setting(0.0, "Where the decay ends.", between(0, 1))
    decay_power: float = setting(1.0, "Power of the polynomial decay; 1 is a line.", above(0))
    weight_decay: float = setting(
        0.01, "Decoupled decay; biases and LayerNorm are left out.", between(0, 1)
    )
    beta_1: float = setting(0.9, "Adam's first moment.", from_up_to(0, 1))
    beta_2: float = setting(0.999, "Adam's second moment.", from_up_to(0, 1))
    epsilon: float = setting(1e-8, "Adam's epsilon, where Keras puts it.", above_up_to(0, 1))
    global_clipnorm: float = setting(
        1.0, "Largest norm of the summed gradient; 0 is no clipping.", at_least(0)
    )
    seed: int = setting(1, "Seed of all that is random.", between(0, 2**31 - 1))
    dtype_policy: str = setting(
        "auto",
        "Precision of training; auto asks the device.",
        one_of("auto", "float32", "mixed_bfloat16"),
    )
    jit_compile: bool = setting(False, "Compile the step with XLA.")
    strategy: str = setting(
        "auto", "How devices are used.", one_of("auto", "one_device", "mirrored")
    )
    label_smoothing: float = setting(
        0.0, "Share of a label's probability spread over all classes.", from_up_to(0, 1)
    )
    class_weights: str | None = setting(
        None,
        'Weights of the classes in the loss: "balanced", or "neg=1, pos=2.5".',
        CLASS_WEIGHTS,
    )
    monitor: str = setting(
        "auto",
        "The metric that names the best checkpoint; auto: the headline.",
        one_of_or_matching(
            _MONITORS,
            r"validation/(precision|recall|f1)/.+",
            'or one class\'s: "validation/f1/<label>", precision or recall',
        ),
    )
    early_stopping_patience: int = setting(
        0, "Stop after so many validations without a better one; 0 is never.", at_least(0)
    )
    length_group_batches: int = setting(
        50, "Batches whose examples are sorted by length together; 1 is no sorting.", at_least(1)
    )

    def __post_init__(self):
        settle_durations(self)


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """`[evaluation]`: the final evaluation, in float32."""

    batch_size: int = setting(64, "Examples in one evaluation batch.", at_least(1))
    headline: str | None = setting(
        None,
        "The metric that counts; unset: the task's own, macro F1 when classes are balanced by "
        "class_weights or oversample.",
        one_of(*_HEADLINES),
    )
    tune_thresholds: bool = setting(
        True, "With several labels: choose each label's threshold on validation; else 0.5."
    )
    bootstrap_resamples: int = setting(
        1000, "Resamples of the headline metric's interval.", at_least(1)
    )
    calibration_bins: int = setting(15, "Bins of the expected calibration error.", at_least(1))


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """`[export]`: the SavedModel."""

    enabled: bool = setting(True, "Whether to export at all.")
    name: str | None = setting(
        None, "Folder of the model; unset: the pipeline's name.", FOLDER_NAME
    )
    directory: str = setting("saved_models", "Folder of all models.")


SECTIONS = {
    "data": DataSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "evaluation": EvaluationSettings,
    "export": ExportSettings,
}
