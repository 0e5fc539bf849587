"""The recipe as frozen settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from kerasft.recipe.sections import (
    AdapterSettings,
    AugmentationSettings,
    DataSettings,
    EvaluationSettings,
    ExportSettings,
    FreezingSettings,
    LoggingSettings,
    ModelSettings,
    PerformanceSettings,
    RegularizationSettings,
    TrainingSettings,
)
from kerasft.recipe.settings import SETTINGS, to_literal
from kerasft.recipe.space import Dimension


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The settings of a run, checked and complete.

    Args:
        name: Name of the recipe: its `name` key, else its file's stem.
        summary: One line on its purpose.
        shipped: Whether it is one of kerasft's own, not a file of the user's.
        overridden: `section.key` of the settings that the command line or the caller changed.
        written: `{section.key: value}` as in its file, without defaults and overrides.
        tuning: The search space; ignored by a run.
    """

    name: str
    summary: str = ""
    shipped: bool = False
    overridden: frozenset[str] = frozenset()
    written: Mapping[str, object] = dataclasses.field(
        default_factory=dict, compare=False, repr=False
    )
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    model: ModelSettings = dataclasses.field(default_factory=ModelSettings)
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    freezing: FreezingSettings = dataclasses.field(default_factory=FreezingSettings)
    regularization: RegularizationSettings = dataclasses.field(
        default_factory=RegularizationSettings
    )
    augmentation: AugmentationSettings = dataclasses.field(default_factory=AugmentationSettings)
    adapter: AdapterSettings = dataclasses.field(default_factory=AdapterSettings)
    performance: PerformanceSettings = dataclasses.field(default_factory=PerformanceSettings)
    evaluation: EvaluationSettings = dataclasses.field(default_factory=EvaluationSettings)
    export: ExportSettings = dataclasses.field(default_factory=ExportSettings)
    tuning: tuple[Dimension, ...] = ()
    logging: LoggingSettings = dataclasses.field(default_factory=LoggingSettings)

    @property
    def may_fall_back(self) -> bool:
        """Whether the built-in sample may replace unavailable data.

        Only if a shipped recipe allows it and the user did not choose the data.
        """
        chosen = self.overridden & {"data.dataset", "data.data_dir"}
        return self.shipped and self.data.allow_builtin_sample and not chosen

    def values(self) -> dict[str, object]:
        """Every setting in effect as `{"section.key": value}`, unset ones being `None`."""
        return {
            name: getattr(getattr(self, setting.section), setting.key)
            for name, setting in SETTINGS.items()
        }

    def to_toml(self) -> str:
        """The recipe, defaults included, as TOML that loads to the same settings.

        Without `[tuning]`, which is for a search: see `space_to_toml`.
        """
        lines = [f"name = {to_literal(self.name)}"]
        if self.summary:
            lines.append(f"summary = {to_literal(self.summary)}")
        section = None
        for name, value in self.values().items():
            setting = SETTINGS[name]
            if setting.section != section:
                section = setting.section
                lines += ["", f"[{section}]"]
            if value is not None:
                note = "  # overridden" if name in self.overridden else ""
                lines.append(f"{setting.key} = {to_literal(value)}{note}")
        return "\n".join(lines) + "\n"
