"""`resolved.toml` of a run: this machine's choices for settings left open, reused on a resume.

`recipe.toml` holds what was asked for.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib

from kerasft.errors import UserError
from kerasft.recipe import DURATION_FAMILIES, Recipe, load_recipe
from kerasft.run_dir import RunDir

_FILE = "resolved.toml"
_HEADING = "# What this machine made of recipe.toml. A resumed run keeps it.\n"
_SAMPLE = "builtin-sample"  # as in data.sources.source, which imports TensorFlow


@dataclasses.dataclass(frozen=True)
class Resolved:
    """Resolved values of settings that a recipe leaves open.

    Args:
        dtype_policy: The value of `training.dtype_policy="auto"`.
        kernels: Whether the training step uses the compiled kernels.
        on_sample: Whether the built-in sample replaces a dataset that is missing.
        warmup_steps: Of a lengthened run, the warm-up of its original length: as a share of the new
            length, warm-up would start again. `None`: the recipe's.
    """

    dtype_policy: str
    kernels: bool
    on_sample: bool = False
    warmup_steps: int | None = None

    def apply(self, recipe: Recipe) -> Recipe:
        """Returns the recipe with every choice applied."""
        training = dataclasses.replace(recipe.training, dtype_policy=self.dtype_policy)
        if self.warmup_steps is not None:
            unset = dict.fromkeys(DURATION_FAMILIES["warmup"].members)
            training = dataclasses.replace(training, **unset | {"warmup_steps": self.warmup_steps})
        data = recipe.data
        if self.on_sample:
            data = dataclasses.replace(data, dataset=_SAMPLE, data_dir=None)
        performance = dataclasses.replace(recipe.performance, kernels=self.kernels)
        return dataclasses.replace(recipe, data=data, training=training, performance=performance)

    def write(self, run_dir: RunDir) -> None:
        """Writes `resolved.toml`."""
        lines = [
            f"{name} = {json.dumps(value)}\n"
            for name, value in dataclasses.asdict(self).items()
            if value is not None
        ]
        run_dir.write_text(_FILE, _HEADING + "".join(lines))


def read_resolved(run_dir: RunDir | None) -> Resolved | None:
    """Reads `resolved.toml`; `None` for a new run, or one of an earlier version.

    Earlier versions wrote their choices into `recipe.toml`.
    """
    if run_dir is None or not (run_dir.path / _FILE).exists():
        return None
    path = run_dir.path / _FILE
    try:
        return Resolved(**tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise UserError(
            f"{path} is damaged: {error}.",
            expected=", ".join(field.name for field in dataclasses.fields(Resolved)),
            fix="put back a copy, or start the run anew, without --resume.",
        ) from error


def apply_resolved(recipe: Recipe, run_dir: RunDir) -> Recipe:
    """Returns a run's recipe with the choices of its machine applied, if they were recorded."""
    resolved = read_resolved(run_dir)
    return recipe if resolved is None else resolved.apply(recipe)


def load_run_recipe(run_dir: RunDir) -> Recipe:
    """Reads a run's recipe, with the choices of its machine applied."""
    return apply_resolved(load_recipe(run_dir.recipe_path), run_dir)
