"""The search space of a study: the recipe's `[tuning]`, or the default space."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kerasft.errors import UserError
from kerasft.recipe import DURATION_FAMILIES, Dimension, Recipe
from kerasft.recipe.space import CHOICES, LOG

METHODS = ("random", "bayesian", "hyperband", "grid")
GRID, HYPERBAND = "grid", "hyperband"
_UNSEARCHED = ("evaluation.", "export.", "logging.", "data.dataset")

# Devlin et al. 2019, appendix A.3: batches of 16 and 32, rates of 2e-5, 3e-5 and 5e-5, 2 to 4
# epochs. Their code warms up over a tenth of the steps, and so do Mosbach et al. 2021.
_RATES, _BATCH_SIZES, _EPOCHS, _WARMUPS = (2e-5, 3e-5, 5e-5), (16, 32), (2.0, 3.0, 4.0), (0.0, 0.1)
_RATE_BOUNDS = (1e-5, 1e-4)  # wider than theirs: small encoders need higher rates


def settle_space(recipe: Recipe, method: str) -> tuple[Dimension, ...]:
    """Returns the recipe's space or the default one, without settings of the command line.

    Raises `UserError` if the space does not suit the method, or nothing is left to search.
    """
    space = _hold(recipe.tuning or usual_space(recipe, method), recipe)
    if not space:
        raise UserError(
            "There is nothing to search: each setting of the space is given on the command line.",
            received=", ".join(sorted(recipe.overridden)),
            fix="leave one of them out.",
        )
    if method == GRID:
        _check_grid(space)
    if method == HYPERBAND:
        _check_hyperband(recipe, space)
    return space


def usual_space(recipe: Recipe, method: str) -> tuple[Dimension, ...]:
    """Returns the default space; each range includes the recipe's own value.

    A grid gets choices of the rate; Hyperband sets the epochs itself.
    """
    training = recipe.training
    rate = training.learning_rate
    low, high = _RATE_BOUNDS
    rates = Dimension("training.learning_rate", LOG, (min(low, rate), max(high, rate)))
    if method == GRID:
        rates = _choices("training.learning_rate", _RATES, rate)
    space = [rates, _choices("training.batch_size", _BATCH_SIZES, training.batch_size)]
    if method != HYPERBAND and training.epochs is not None:
        space.append(_choices("training.epochs", _EPOCHS, training.epochs))
    space.append(_choices("training.warmup_fraction", _WARMUPS, training.warmup_fraction))
    return tuple(space)


def difference(ours: Sequence[Dimension], theirs: Sequence[Dimension]) -> dict[str, tuple]:
    """Returns the settings that two spaces search differently, with both dimensions."""
    mine, other = ({d.name: d.to_json() for d in space} for space in (ours, theirs))
    pairs = {name: (mine.get(name), other.get(name)) for name in mine | other}
    return {name: (was, now) for name, (was, now) in pairs.items() if was != now}


def count_points(space: Sequence[Dimension]) -> int | None:
    """Returns the number of points in a space; `None` if they cannot be counted.

    Settings that others depend on come first in `space`.
    """
    sizes = [_size(dimension) for dimension in space]
    return None if None in sizes else _count(space, {})


def _count(space: Sequence[Dimension], chosen: Mapping[str, Any]) -> int:
    if not space:
        return 1
    first, *rest = space
    if not all(chosen.get(parent) in values for parent, values in first.when):
        return _count(rest, chosen)
    if all(first.name != parent for other in rest for parent, _ in other.when):
        return _size(first) * _count(rest, chosen)
    return sum(_count(rest, {**chosen, first.name: value}) for value in first.values)


def _size(dimension: Dimension) -> int | None:
    """Returns the number of values of a setting; `None`: a continuous range."""
    if dimension.choices is not None:
        return len(dimension.choices)
    low, high = dimension.values
    return high - low + 1 if dimension.setting.type is int else None


def _choices(name: str, usual: Collection[float], own: float | None) -> Dimension:
    return Dimension(name, CHOICES, tuple(sorted({*usual, *([] if own is None else [own])})))


def _hold(space: Sequence[Dimension], recipe: Recipe) -> tuple[Dimension, ...]:
    groups = [[f"training.{member}" for member in f.members] for f in DURATION_FAMILIES.values()]
    held = {*recipe.overridden}
    held |= {name for group in groups if held & {*group} for name in group}
    values = recipe.values()
    kept: dict[str, Dimension] = {}
    for dimension in space:
        # A condition on a fixed setting holds for all trials or for none.
        open_conditions = tuple((p, v) for p, v in dimension.when if p in kept)
        met = all(values[p] in v for p, v in dimension.when if p not in kept)
        if dimension.name not in held and met:
            kept[dimension.name] = dataclasses.replace(dimension, when=open_conditions)
    return tuple(kept.values())


def _check_grid(space: Sequence[Dimension]) -> None:
    for dimension in space:
        if dimension.choices is None:
            raise UserError(
                "A grid needs values that can be counted.",
                received=f"{dimension.name}: {dimension.to_json()}",
                expected="choices, or a step",
                fix="give it a step (of log: a factor), or search with --method random.",
            )


def _check_hyperband(recipe: Recipe, space: Sequence[Dimension]) -> None:
    lengths = [f"training.{member}" for member in DURATION_FAMILIES["run"].members]
    searched = [dimension.name for dimension in space if dimension.name in lengths]
    if searched:
        raise UserError(
            "Hyperband decides itself how long a trial trains.",
            received=f"{searched[0]} in [tuning]",
            fix="leave it out of [tuning], and set the longest with training.epochs=9.",
        )
    epochs = recipe.training.epochs
    if epochs is None or epochs < 2 or epochs != int(epochs):
        raise UserError(
            "Hyperband gives trials a third of the epochs, a ninth and so on.",
            received=f"training.epochs={epochs}",
            expected="training.epochs as a whole number of 2 or more",
            fix="training.epochs=9",
        )


def describe(changes: Mapping[str, Any]) -> str:
    """Formats settings for people, on one line, without those that all runs share."""
    shown = {name: value for name, value in changes.items() if not name.startswith(_UNSEARCHED)}
    return ", ".join(f"{n}={show_value(v)}" for n, v in shown.items()) or "the recipe as it is"


def show_value(value: object) -> str:
    """Formats a setting's value for people: a number with four digits."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
