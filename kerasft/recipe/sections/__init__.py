"""The sections of a recipe and their settings: one line each, with type, default and rule.

To add a setting, add a line here and the code that obeys it; a test changes every field and expects
the run to change.
"""

from kerasft.recipe.sections.adapter import AdapterSettings, FreezingSettings
from kerasft.recipe.sections.data import DataSettings
from kerasft.recipe.sections.evaluation import EvaluationSettings
from kerasft.recipe.sections.model import ModelSettings
from kerasft.recipe.sections.output import ExportSettings, LoggingSettings
from kerasft.recipe.sections.performance import PerformanceSettings
from kerasft.recipe.sections.regularization import AugmentationSettings, RegularizationSettings
from kerasft.recipe.sections.training import TrainingSettings

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
