"""The sections of a recipe and their settings: one line each, with type, default and rule.

Adding a setting is adding a line here and the code that obeys it; a test perturbs every field and
expects the run to change.
"""

from __future__ import annotations

import dataclasses

from kerasft.metric import HEADLINES
from kerasft.recipe.learning_sections import (
    AdapterSettings,
    AugmentationSettings,
    FreezingSettings,
    RegularizationSettings,
    TrainingSettings,
)
from kerasft.recipe.rules import (
    DISTINCT,
    FOLDER_NAME,
    SEPARATOR,
    at_least,
    between,
    inside,
    one_of,
    setting,
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
    label_columns: tuple[str, ...] = setting(
        (),
        "Columns of 0 and 1, one for each label of a text, in place of label_column.",
        DISTINCT,
    )
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
    attention_dropout: float | None = setting(
        None, "Dropout of the attention's weights; unset: model.dropout.", between(0, 0.9)
    )
    head_dropout: float = setting(0.1, "Dropout before the head.", between(0, 0.9))


@dataclasses.dataclass(frozen=True)
class PerformanceSettings:
    """`[performance]`: what is traded for memory or time; results stay what they are."""

    gradient_checkpointing: bool = setting(
        False,
        "Compute each layer of the encoder again for its gradient: far less memory, more time.",
    )
    attention_chunk: int | None = setting(
        None,
        "Tokens of a text whose attention is computed at once, 0 for all; memory then grows with "
        "the length and not with its square. Unset: 128 where texts may have 1,024 tokens, else 0.",
        at_least(0),
    )
    pad_length_to: int | None = setting(
        None,
        "A training batch is as wide as its longest text, rounded up to a multiple of this. Unset: "
        "1 on CPUs, 8 on GPUs and under XLA.",
        at_least(1),
    )
    lazy_embeddings: bool = setting(
        True,
        "Update the rows of the token table when a batch reads them, and not all in each step; on "
        "one CPU device, with AdamW, where nothing needs the whole table.",
    )
    kernels: bool | None = setting(
        None,
        "Compute GELU, normalization, softmax, dropout and AdamW with kernels that are compiled "
        "for this CPU, once. Unset: on Linux with a C++ compiler, and neither GPU nor XLA.",
    )


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """`[evaluation]`: the final evaluation, in float32."""

    batch_size: int = setting(
        64,
        "Examples in one evaluation batch, over all replicas; up to four times as many short ones.",
        at_least(1),
    )
    headline: str | None = setting(
        None,
        "The metric that counts; unset: the task's own, macro F1 when classes are balanced by "
        "class_weights or oversample.",
        one_of(*HEADLINES),
    )
    test: bool = setting(
        True, "Whether the run ends with its test splits; else with validation, as in a search."
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
    verify: bool = setting(
        True, "Publish a version only when a fresh process gives the run's own answers."
    )


@dataclasses.dataclass(frozen=True)
class LoggingSettings:
    """`[logging]`: what TensorBoard and Weights & Biases are told of a run."""

    norms_every_steps: int = setting(
        50,
        "Norms of weights, gradients and updates by layer, at the first step and every so many; "
        "0 is never.",
        at_least(0),
    )
    plots: bool = setting(
        True, "Confusion matrix, reliability diagram, ROC and PR curves of the evaluations."
    )
    projector_texts: int = setting(
        0,
        "So many validation texts in the embedding projector; 0 is none. It writes the texts into "
        "the run directory.",
        at_least(0),
    )
    wandb: str | None = setting(
        None, "Project of Weights & Biases that is told the same; unset: none."
    )


SECTIONS = {
    "data": DataSettings,
    "model": ModelSettings,
    "training": TrainingSettings,
    "freezing": FreezingSettings,
    "regularization": RegularizationSettings,
    "augmentation": AugmentationSettings,
    "adapter": AdapterSettings,
    "performance": PerformanceSettings,
    "evaluation": EvaluationSettings,
    "export": ExportSettings,
    "logging": LoggingSettings,
}
