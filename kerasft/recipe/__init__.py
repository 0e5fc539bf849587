"""Recipes: read from TOML into frozen settings; all errors are reported at once.

Nothing here imports TensorFlow or NumPy: errors in a recipe must be reported fast.
"""

from kerasft.recipe.durations import DURATION_FAMILIES, resolve_duration
from kerasft.recipe.read import RecipeInfo, list_recipes, load_recipe, recipes_folder
from kerasft.recipe.recipe import Recipe
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
from kerasft.recipe.settings import Setting, describe_fields
from kerasft.recipe.space import Dimension, space_to_toml

__all__ = [
    "DURATION_FAMILIES",
    "AdapterSettings",
    "AugmentationSettings",
    "DataSettings",
    "Dimension",
    "EvaluationSettings",
    "ExportSettings",
    "FreezingSettings",
    "LoggingSettings",
    "ModelSettings",
    "PerformanceSettings",
    "Recipe",
    "RecipeInfo",
    "RegularizationSettings",
    "Setting",
    "TrainingSettings",
    "describe_fields",
    "list_recipes",
    "load_recipe",
    "recipes_folder",
    "resolve_duration",
    "space_to_toml",
]
