"""The `[tuning]` section: the settings that a search varies, and their bounds.

```toml
[tuning]
"training.learning_rate" = {log = [1e-5, 1e-4]}
"training.batch_size" = {choices = [16, 32]}
"training.epochs" = {range = [2, 5], step = 1}
"adapter.method" = {choices = ["none", "lora"]}
"adapter.rank" = {choices = [4, 8], when = {"adapter.method" = ["lora"]}}
```
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kerasft.errors import nearest
from kerasft.recipe.check import TUNING, fault, find_duration_faults, find_faults
from kerasft.recipe.sections import SECTIONS
from kerasft.recipe.settings import SETTINGS, Setting, to_literal

CHOICES, RANGE, LOG = "choices", "range", "log"
_KINDS = (CHOICES, RANGE, LOG)
_KEYS = (*_KINDS, "step", "when")
_FORMS = "{choices = [...]}, {range = [low, high]} or {log = [low, high]}"
_SECTIONS = ("model", "training", "freezing", "regularization", "augmentation", "adapter")
_SEARCHED_DATA = ("data.oversample", "data.break_tags")
_NOT_SEARCHED = {
    "training.seed": "the best seed is luck; finalists are run with several",
    "training.monitor": "trials would be measured by different metrics",
    "training.stop_after_epochs": "Hyperband sets it",
}


@dataclasses.dataclass(frozen=True)
class Dimension:
    """One setting that is searched.

    Args:
        name: `section.key`.
        kind: `choices`, `range` (evenly between two bounds) or `log` (evenly between their
            logarithms).
        values: The choices; or the bounds, both inclusive.
        step: Step of a range; for `log` the factor. `None`: any value.
        when: Conditions: this setting is searched only if all the named settings take one of the
            given values; otherwise the recipe's value is used.
    """

    name: str
    kind: str
    values: tuple
    step: float | None = None
    when: tuple[tuple[str, tuple], ...] = ()

    @property
    def setting(self) -> Setting:
        """The recipe's setting."""
        return SETTINGS[self.name]

    @property
    def choices(self) -> tuple | None:
        """All values, if they can be counted; `None` if any number is possible."""
        if self.kind == CHOICES:
            return self.values
        if self.step is None:
            return None
        low, high = self.values
        if self.kind == LOG:
            count = math.floor(math.log(high / low, self.step) + 1e-9) + 1
            stepped = (low * self.step**index for index in range(count))
        else:
            count = math.floor((high - low) / self.step + 1e-9) + 1
            stepped = (low + self.step * index for index in range(count))
        # Without binary rounding: 0.3, and not 0.30000000000000004.
        return tuple(self.setting.type(float(f"{value:.12g}")) for value in stepped)

    def to_json(self) -> dict[str, Any]:
        """Returns plain data, in the form of the section."""
        described: dict[str, Any] = {self.kind: list(self.values)}
        if self.step is not None:
            described["step"] = self.step
        if self.when:
            described["when"] = {parent: list(values) for parent, values in self.when}
        return described


def read_space(table: object, origin: str) -> tuple[tuple[Dimension, ...], list[str]]:
    """Reads the parsed `[tuning]` section, with names quoted or not.

    Returns:
        The space, settings that others depend on first, and the errors.
    """
    if not isinstance(table, Mapping):
        return (), [fault(origin, f"[{TUNING}]", "not a table", table, f"[{TUNING}]")]
    specs = _flatten(table)
    faults = [line for name in specs for line in _name_faults(name, specs[name], origin)]
    if faults:
        return (), faults
    read = {name: _read(name, spec, origin, faults) for name, spec in specs.items()}
    if not faults:
        faults += find_duration_faults(specs, origin, section=TUNING, what="searched")
        faults += [line for found in read.values() for line in _when_faults(found, read, origin)]
    return ((), faults) if faults else _parents_first(read, origin)


def space_to_toml(space: Sequence[Dimension]) -> str:
    """Returns the section as TOML that reads to the same space."""
    return "\n".join([f"[{TUNING}]", *(f'"{d.name}" = {to_literal(d.to_json())}' for d in space)])


def _flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """Flattens `training.learning_rate = {...}`, which TOML reads as nested tables."""
    specs: dict[str, Any] = {}
    for name, spec in table.items():
        if name in SECTIONS and isinstance(spec, Mapping):
            specs |= {f"{name}.{key}": value for key, value in spec.items()}
        else:
            specs[name] = spec
    return specs


def _name_faults(name: str, spec: object, origin: str) -> Iterator[str]:
    place = f"[{TUNING}] {name}"
    if name not in SETTINGS:
        yield from find_faults({name: spec}, f"{origin}: [{TUNING}]")
        return
    section = name.partition(".")[0]
    reason = _NOT_SEARCHED.get(name)
    if section == "data" and name not in _SEARCHED_DATA:
        reason = "trials would be compared on other examples"
    elif section not in ("data", *_SECTIONS):
        reason = "it changes nothing of what is learnt"
    if reason is not None:
        yield fault(origin, place, f"cannot be searched: {reason}", name, "another setting")
    elif not isinstance(spec, Mapping):
        yield fault(origin, place, "not a range of values", spec, _FORMS)


def _read(name: str, spec: Mapping[str, Any], origin: str, faults: list[str]) -> Dimension | None:
    """Reads the values of one setting; errors are added to `faults`."""
    place, setting = f"[{TUNING}] {name}", SETTINGS[name]
    kinds = [kind for kind in _KINDS if kind in spec]
    for key in spec.keys() - set(_KEYS):
        faults.append(
            fault(origin, place, "unknown key", key, ", ".join(_KEYS), nearest(key, _KEYS))
        )
    if len(kinds) != 1:
        faults.append(fault(origin, place, "not a range of values", dict(spec), f"one of {_FORMS}"))
        return None
    kind, values, step = kinds[0], spec[kinds[0]], spec.get("step")
    found = list(_value_faults(setting, kind, values)) or list(
        _step_faults(setting, kind, values, step)
    )
    if found:
        faults += [fault(origin, place, *told) for told in found]
        return None
    values = tuple(_convert(setting, value) for value in values)
    when = spec.get("when", {})
    if not isinstance(when, Mapping) or not all(isinstance(v, list) and v for v in when.values()):
        expected = 'a table such as {"adapter.method" = ["lora"]}'
        faults.append(fault(origin, place, "when: not a condition", when, expected))
        return None
    conditions = tuple((parent, tuple(map(_hashable, chosen))) for parent, chosen in when.items())
    return Dimension(name, kind, values, step, conditions)


def _value_faults(setting: Setting, kind: str, values: object) -> Iterator[tuple]:
    is_list = isinstance(values, list)
    if kind == CHOICES:
        distinct = [v for i, v in enumerate(values) if v not in values[:i]] if is_list else []
        if len(distinct) < 2 or len(distinct) < len(values):
            yield "an empty range", values, "a list of two or more different values"
            return
    elif setting.type not in (int, float):
        yield f"{kind} is for numbers", values, f"choices = [...], each {setting.expected}"
        return
    elif not is_list or len(values) != 2:
        yield "not a range", values, f"{kind} = [low, high]"
        return
    for value in values:
        if kind == LOG and value == 0:
            yield "there is no logarithm of 0", values, "a lower bound above 0"
            return
        if what := setting.find_fault(value):
            yield what, value, setting.expected
            return
    if kind == LOG and values[0] < 0:
        yield "there is no logarithm of this", values[0], "a lower bound above 0"
    elif kind != CHOICES and not values[0] < values[1]:
        yield "an empty range", values, "a lower bound below the upper one"


def _step_faults(setting: Setting, kind: str, values: list, step: object) -> Iterator[tuple]:
    if step is None:
        return
    is_number = isinstance(step, int | float) and not isinstance(step, bool)
    if kind == CHOICES:
        yield "step is for range and log", step, "choices without step"
    elif not is_number or not math.isfinite(step) or step <= (1 if kind == LOG else 0):
        yield "not a step", step, "a factor above 1" if kind == LOG else "a number above 0"
    elif setting.type is int and not isinstance(step, int):
        yield "not a step", step, f"a whole number, as {setting.name} is"
    elif (values[0] * step if kind == LOG else values[0] + step) > values[1] * (1 + 1e-9):
        yield "an empty range", step, "a step that leads to a second value"


def _when_faults(
    dimension: Dimension, space: Mapping[str, Dimension], origin: str
) -> Iterator[str]:
    place = f"[{TUNING}] {dimension.name}"
    for parent, values in dimension.when:
        if parent not in space or space[parent].kind != CHOICES:
            known = [d.name for d in space.values() if d.kind == CHOICES and d != dimension]
            expected = (
                f"a setting of [{TUNING}] with choices: {', '.join(known) or 'there is none'}"
            )
            yield fault(origin, place, "when: no such choice", parent, expected)
            continue
        for value in values:
            if value not in space[parent].values:
                expected = f"one of {', '.join(map(str, space[parent].values))}"
                yield fault(origin, place, f"when {parent}: not among its choices", value, expected)


def _parents_first(
    space: Mapping[str, Dimension], origin: str
) -> tuple[tuple[Dimension, ...], list[str]]:
    ordered: dict[str, Dimension] = {}
    while len(ordered) < len(space):
        ready = [
            found
            for name, found in space.items()
            if name not in ordered and all(parent in ordered for parent, _ in found.when)
        ]
        if not ready:
            rest = ", ".join(name for name in space if name not in ordered)
            expected = "conditions that do not lead back to themselves"
            return (), [fault(origin, f"[{TUNING}] {rest}", "when: a circle", rest, expected)]
        ordered |= {found.name: found for found in ready}
    return tuple(ordered.values()), []


def _convert(setting: Setting, value: Any) -> Any:
    return float(value) if setting.type is float else _hashable(value)


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
