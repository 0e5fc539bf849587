"""The settings of a recipe: one table that drives checking, documentation and writing.

A field's type, default, rule and description stand in one place, its dataclass field. Adding a
setting is adding a line here and the code that obeys it; a test perturbs every field and expects
the run to change.
"""

from __future__ import annotations

import dataclasses
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from kerasft.recipe.durations import DURATION_FAMILIES, settle_durations
from kerasft.recipe.rules import (
    FOLDER_NAME,
    Rule,
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

_MONITORS = (
    "validation/accuracy",
    "validation/precision_macro",
    "validation/recall_macro",
    "validation/f1_macro",
    "validation/roc_auc",
    "validation/log_loss",
    "validation/expected_calibration_error",
)


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """`[data]`: which examples."""

    dataset: str = setting("imdb_reviews", 'A TFDS name, or "builtin-sample".')
    data_dir: str | None = setting(None, "The only TFDS folder looked in; unset: the usual places.")
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
        one_of("head_tail", "head", "tail"),
    )
    head_fraction: float = setting(
        0.5, "Share of the kept tokens taken from the head, for head_tail.", between(0, 1)
    )
    pooling: str = setting(
        "mean", "What of the encoder's output the head sees.", one_of("mean", "cls", "pooled")
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
    monitor: str = setting(
        "validation/accuracy",
        "The metric that names the best checkpoint.",
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

_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


class Setting(NamedTuple):
    """One setting, described.

    Args:
        section: The table it stands in.
        key: Its name there.
        type: `bool`, `int`, `float` or `str`.
        optional: Whether it may be unset (`None`).
        default: The value in effect when nothing else is said.
        help: One line for people.
        rule: The condition on its value.
    """

    section: str
    key: str
    type: type
    optional: bool
    default: Any
    help: str
    rule: Rule

    @property
    def name(self) -> str:
        """`section.key`, as an override spells it."""
        return f"{self.section}.{self.key}"

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.type is str and self.rule.expected:
            return self.rule.expected
        return f"{_NOUNS[self.type]} {self.rule.expected}".strip()

    def find_fault(self, value: object) -> str | None:
        """Says what is wrong with `value`, or `None` when nothing is.

        An `int` may stand for a `float`, a `bool` for nothing but itself.

        Args:
            value: What a recipe or an override holds.
        """
        allowed = (int, float) if self.type is float else self.type
        if isinstance(value, bool) != (self.type is bool) or not isinstance(value, allowed):
            return "wrong type"
        if self.type is str:
            return None if value.strip() and self.rule.accepts(value) else "not a possible value"
        # TOML's integers have 64 bits, and so have TensorFlow's; TOML also spells nan and inf.
        in_range = -(2**63) <= value < 2**63 and self.rule.accepts(value)
        return None if in_range else "out of range"


def _describe(section: str, settings_class: type) -> list[Setting]:
    hints = get_type_hints(settings_class)
    usual = {family.default_key: family.default_value for family in DURATION_FAMILIES.values()}
    described = []
    for field in dataclasses.fields(settings_class):
        types = get_args(hints[field.name]) or (hints[field.name],)
        default = usual.get(field.name) if section == "training" else None
        described.append(
            Setting(
                section=section,
                key=field.name,
                type=types[0],
                optional=NoneType in types,
                default=field.default if default is None else default,
                help=field.metadata["about"],
                rule=field.metadata["rule"],
            )
        )
    return described


SETTINGS = {
    described.name: described
    for section, settings_class in SECTIONS.items()
    for described in _describe(section, settings_class)
}


def describe_fields() -> tuple[Setting, ...]:
    """Every setting of a recipe in the order of its sections, for documentation and tests."""
    return tuple(SETTINGS.values())
