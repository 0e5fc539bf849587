"""`[training]`: length, optimizer, precision and devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from kerasft.metric import MONITORS
from kerasft.recipe.durations import settle_durations
from kerasft.recipe.rules import (
    CLASS_WEIGHTS,
    STEP_RANGE,
    above,
    above_up_to,
    at_least,
    between,
    from_up_to,
    one_of,
    one_of_or_matching,
    setting,
)

# Each optimizer, and which of the settings below it supports, besides rate and decay.
OPTIMIZER_SETTINGS = {
    "adamw": ("beta_1", "beta_2", "epsilon"),
    "sgd": ("momentum",),
    "rmsprop": ("momentum", "epsilon"),
    "adagrad": ("epsilon",),
    "adamax": ("beta_1", "beta_2", "epsilon"),
    "nadam": ("beta_1", "beta_2", "epsilon"),
    "adafactor": (),
    "lion": ("beta_1", "beta_2"),
}
SCHEDULES = ("polynomial", "cosine", "constant", "inverse_sqrt")


@dataclasses.dataclass(frozen=True)
class TrainingSettings:
    """`[training]`: length, optimizer, precision and devices.

    The members of one duration family are alternatives; after construction exactly one of each
    family is set.
    """

    epochs: float | None = setting(None, "Length of the run in passes over train.", above(0))
    steps: int | None = setting(None, "Length of the run in steps.", at_least(1))
    examples: int | None = setting(None, "Length of the run in examples seen.", at_least(1))
    stop_after_epochs: float | None = setting(
        None, "Stop after so many epochs, with the schedule of the whole length.", above(0)
    )
    warmup_steps: int | None = setting(None, "Warm-up in steps.", at_least(0))
    warmup_epochs: float | None = setting(None, "Warm-up in epochs.", at_least(0))
    warmup_examples: int | None = setting(None, "Warm-up in examples.", at_least(0))
    warmup_fraction: float | None = setting(None, "Warm-up as a share of the run.", between(0, 1))
    evaluate_every_steps: int | None = setting(None, "Validate every so many steps.", at_least(1))
    evaluate_every_epochs: float | None = setting(None, "Validate every so many epochs.", above(0))
    evaluate_every_examples: int | None = setting(
        None, "Validate every so many examples.", at_least(1)
    )
    checkpoint_every_steps: int | None = setting(None, "Save every so many steps.", at_least(1))
    checkpoint_every_epochs: float | None = setting(None, "Save every so many epochs.", above(0))
    checkpoint_every_examples: int | None = setting(
        None, "Save a checkpoint every so many examples.", at_least(1)
    )
    checkpoint_every_minutes: float | None = setting(
        None, "Save a checkpoint also when so many minutes have passed since the last.", above(0)
    )
    keep_checkpoints: int = setting(2, "How many of the latest are kept.", at_least(1))
    sequence_length: int | None = setting(
        None,
        "Tokens kept of an example in training; unset: model.sequence_length. Shorter is faster.",
        between(8, 8192),
    )
    mode: str = setting(
        "fine_tune",
        "fine_tune trains encoder and head; features runs the frozen encoder once over all texts "
        "and trains the head on what it gives.",
        one_of("fine_tune", "features"),
    )
    unfreeze_every_steps: int | None = setting(
        None, "Gradual unfreezing: one more layer from the top, every so many steps.", at_least(1)
    )
    unfreeze_every_epochs: float | None = setting(
        None, "Gradual unfreezing: one more layer every so many epochs.", above(0)
    )
    unfreeze_every_examples: int | None = setting(
        None, "Gradual unfreezing: one more layer every so many examples.", at_least(1)
    )
    batch_size: int = setting(32, "Examples in one step, over all replicas.", at_least(1))
    gradient_accumulation_steps: int = setting(
        1,
        "Parts that a replica's share of a batch is computed in, one after the other: less memory, "
        "the same gradient.",
        at_least(1),
    )
    optimizer: str = setting("adamw", "The optimizer.", one_of(*OPTIMIZER_SETTINGS))
    schedule: str = setting(
        "polynomial", "How the learning rate falls after the warm-up.", one_of(*SCHEDULES)
    )
    learning_rate: float = setting(
        5e-5, "The peak, reached at the end of the warm-up.", above_up_to(0, 1)
    )
    end_learning_rate: float = setting(0.0, "Where the decay ends.", between(0, 1))
    decay_power: float = setting(1.0, "Power of the polynomial decay; 1 is a line.", above(0))
    head_learning_rate: float | None = setting(
        None, "The head's own peak; unset: learning_rate.", above_up_to(0, 1)
    )
    layer_decay: float = setting(
        1.0,
        "Each layer's learning rate is that of the layer above times this; 1 is one rate for all.",
        above_up_to(0, 1),
    )
    weight_decay: float = setting(
        0.01, "Decoupled decay; biases and LayerNorm are left out.", between(0, 1)
    )
    beta_1: float = setting(0.9, "Adam's first moment.", from_up_to(0, 1))
    beta_2: float = setting(0.999, "Adam's second moment.", from_up_to(0, 1))
    epsilon: float = setting(1e-8, "Adam's epsilon, where Keras puts it.", above_up_to(0, 1))
    momentum: float = setting(0.0, "Momentum, for sgd and rmsprop.", from_up_to(0, 1))
    global_clipnorm: float = setting(
        1.0, "Largest norm of the summed gradient; 0 is no clipping.", at_least(0)
    )
    seed: int = setting(1, "Seed of all that is random.", between(0, 2**31 - 1))
    dtype_policy: str = setting(
        "auto",
        "Precision of training; auto asks the device.",
        one_of("auto", "float32", "mixed_bfloat16", "mixed_float16"),
    )
    jit_compile: bool = setting(
        False, "Compile the step with XLA, for each width of a batch; kept for later runs."
    )
    strategy: str = setting(
        "auto", "How devices are used.", one_of("auto", "one_device", "mirrored", "multi_worker")
    )
    all_reduce_dtype: str = setting(
        "float32",
        "What gradients are sent between replicas as; bfloat16 is half the bytes, and rounds them.",
        one_of("float32", "bfloat16"),
    )
    loss: str = setting(
        "auto",
        "auto: cross-entropy of classes and labels, squared error of numbers; focal for classes "
        "and labels, huber for numbers.",
        one_of("auto", "focal", "huber"),
    )
    focal_gamma: float = setting(2.0, "How far focal loss turns away from what is easy.", above(0))
    huber_delta: float = setting(
        1.0, "From which error on huber loss grows linearly, in standard deviations.", above(0)
    )
    label_smoothing: float = setting(
        0.0, "Share of a label's probability spread over all classes.", from_up_to(0, 1)
    )
    class_weights: Mapping[str, float] | str | None = setting(
        None,
        'Weights of the classes in the loss: "balanced", or a table; other classes weigh 1.',
        CLASS_WEIGHTS,
    )
    monitor: str = setting(
        "auto",
        "The metric that names the best checkpoint; auto: the headline.",
        one_of_or_matching(
            MONITORS,
            r"validation/(precision|recall|f1)/.+",
            'or one class\'s: "validation/f1/<label>", precision or recall',
        ),
    )
    early_stopping_patience: int = setting(
        0,
        "Stop after so many validations without an improvement of the metric; 0 is never.",
        at_least(0),
    )
    on_divergence: str = setting(
        "stop",
        "Where the loss is no longer a number: stop; or skip, which goes back to the latest "
        "checkpoint and leaves out the batch.",
        one_of("stop", "skip"),
    )
    divergence_factor: float | None = setting(
        None,
        "A loss of more than so many times the mean of the last 100 steps is divergence, too.",
        above(1),
    )
    max_divergences: int = setting(
        3, "With skip: how many batches are left out before the run gives up.", at_least(1)
    )
    ema_decay: float = setting(
        0.0,
        "Decay of the weights' moving average, with which is evaluated and exported; 0 is none.",
        from_up_to(0, 1),
    )
    average_checkpoints: int = setting(
        1, "Average the weights of so many evaluated steps in the end; 1 is none.", at_least(1)
    )
    average_from: str = setting(
        "best", "Which ones: the best by the monitor, or the last.", one_of("best", "last")
    )
    length_group_batches: int = setting(
        50, "Batches whose examples are sorted by length together; 1 is no sorting.", at_least(1)
    )
    profile_steps: str | None = setting(
        None, "The steps that TensorFlow's profiler records; unset: none.", STEP_RANGE
    )

    def __post_init__(self):
        settle_durations(self)
