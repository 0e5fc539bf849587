"""Durations: each may be given in steps, epochs or examples, exactly one of them.

The units of one duration form a family. One member is in effect: the given one, or the default; a
family without a default may have none.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import NamedTuple

from kerasft.errors import UserError, nearest


class DurationFamily(NamedTuple):
    """The `[training]` keys of one duration, and its default; without one it may be unset."""

    members: tuple[str, ...]
    default_key: str | None = None
    default_value: float | None = None

    def given(self, keys: Collection[str]) -> list[str]:
        """The members among `keys`."""
        return [member for member in self.members if member in keys]


DURATION_FAMILIES = {
    "run": DurationFamily(("epochs", "steps", "examples"), "epochs", 3.0),
    "warmup": DurationFamily(
        ("warmup_steps", "warmup_epochs", "warmup_examples", "warmup_fraction"),
        "warmup_fraction",
        0.1,
    ),
    "evaluate_every": DurationFamily(
        ("evaluate_every_steps", "evaluate_every_epochs", "evaluate_every_examples"),
        "evaluate_every_epochs",
        1.0,
    ),
    "checkpoint_every": DurationFamily(
        ("checkpoint_every_steps", "checkpoint_every_epochs", "checkpoint_every_examples"),
        "checkpoint_every_epochs",
        1.0,
    ),
    "unfreeze_every": DurationFamily(
        ("unfreeze_every_steps", "unfreeze_every_epochs", "unfreeze_every_examples")
    ),
}


def settle_durations(settings: object) -> None:
    """Sets the default of every family without a set member, in a `[training]` section in creation.

    Raises:
        UserError: Two members of one family are set.
    """
    for family in DURATION_FAMILIES.values():
        given = [key for key in family.members if getattr(settings, key) is not None]
        if len(given) > 1:
            raise UserError(
                "One duration is set twice.",
                received=", ".join(f"{key} = {getattr(settings, key)}" for key in given),
                expected=f"exactly one of {', '.join(family.members)}",
            )
        if not given and family.default_key is not None:
            # Bypasses `frozen`.
            object.__setattr__(settings, family.default_key, family.default_value)


def resolve_duration(
    settings: object,
    family: str,
    *,
    steps_per_epoch: int,
    batch_size: int,
    total_steps: int | None = None,
) -> int:
    """Converts a duration into optimizer steps.

    A duration above zero is at least one step, so that a tenth of a very short run still counts;
    the run itself must be long enough for one. A warm-up longer than the run is returned as it is.

    Args:
        settings: The `[training]` section.
        family: `"run"`, `"warmup"`, `"evaluate_every"`, `"checkpoint_every"` or `"unfreeze_every"`.
        steps_per_epoch: Optimizer steps in one pass over the training examples.
        batch_size: Examples in one step, over all replicas.
        total_steps: Steps of the whole run; needed for a share of the run.

    Returns:
        The number of steps; 0 only for a warm-up of 0, and if nothing is set.

    Raises:
        ValueError: `family` is unknown, or `total_steps` is missing.
        UserError: The run is shorter than a step.
    """
    if family not in DURATION_FAMILIES:
        known = ", ".join(DURATION_FAMILIES)
        hint = nearest(family, DURATION_FAMILIES)
        raise ValueError(f"Unknown duration. Received: {family!r}. Expected: {known}.{hint}")
    members = DURATION_FAMILIES[family].members
    key = next((key for key in members if getattr(settings, key) is not None), None)
    if key is None:
        return 0
    value = getattr(settings, key)
    unit = key.rpartition("_")[2]
    if unit == "steps":
        steps = value
    elif unit == "epochs":
        steps = round(value * steps_per_epoch)
    elif unit == "examples":
        steps = math.ceil(value / batch_size)
    elif total_steps is not None:
        steps = round(value * total_steps)
    else:
        raise ValueError(f"training.{key} is a share of the run: total_steps is needed.")
    if family == "run" and steps == 0:
        raise UserError(
            "The run is shorter than one step.",
            received=f"training.{key}={value:g}, and an epoch has {steps_per_epoch} steps",
            expected=f"at least training.{key}={1 / steps_per_epoch:.2g}",
            fix="train for longer, or set training.steps=1.",
        )
    return max(steps, 1) if value > 0 else 0
