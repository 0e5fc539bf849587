"""Learning-rate search: the range test with a recipe's own model and data.

TensorFlow is imported only when the test starts, so that mistakes are reported at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kerasft.errors import UserError
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir, create_run_dir, describe_environment, write_atomically

if TYPE_CHECKING:
    from kerasft.runs.context import RunContext
    from kerasft.studies.lr_finder.curve import RateCurve, Suggestion
    from kerasft.training.callbacks.callback import Callback
    from kerasft.training.step.fine_tuner import FineTuner

SEARCH = "find_lr"  # folder prefix, and the name of the files
FEWEST_STEPS = 20
_HIGHEST_POSSIBLE = 1.0  # bound of training.learning_rate


class RateRange(NamedTuple):
    """A range of rates: `lowest` in the first of `num_steps` steps, `highest` in the last."""

    lowest: float = 1e-7
    highest: float = _HIGHEST_POSSIBLE
    num_steps: int = 200

    def check(self) -> None:
        """Raises `UserError` if the range is empty or has too few steps."""
        if self.num_steps < FEWEST_STEPS:
            raise UserError(
                "These are too few steps to see a curve.",
                received=f"--steps {self.num_steps}",
                expected=f"at least {FEWEST_STEPS}",
            )
        if not 0 < self.lowest < self.highest <= _HIGHEST_POSSIBLE:  # false for NaN, too
            raise UserError(
                "These two rates are no range.",
                received=f"--lowest {self.lowest:g} --highest {self.highest:g}",
                expected=f"0 < lowest < highest <= {_HIGHEST_POSSIBLE:g}",
                fix="leave them out: the usual range is wide enough for every model.",
            )


@dataclasses.dataclass(frozen=True)
class RateSearch:
    """The result of a search; `folder` has the curve, its plot and TensorBoard's files."""

    recipe: Recipe
    folder: RunDir
    curve: RateCurve
    suggestion: Suggestion

    @property
    def csv_path(self) -> Path:
        """The curve, one row per step."""
        return self.folder.path / f"{SEARCH}.csv"

    @property
    def plot_path(self) -> Path:
        """The plot."""
        return self.folder.path / f"{SEARCH}.png"

    @property
    def settings(self) -> dict[str, float]:
        """The suggested settings; empty without a suggestion.

        A head's own rate keeps its ratio to the encoder's, as in the test.
        """
        rate, training = self.suggestion.learning_rate, self.recipe.training
        if rate is None:
            return {}
        settings = {"training.learning_rate": rate}
        if training.head_learning_rate is not None:
            head = rate * training.head_learning_rate / training.learning_rate
            settings["training.head_learning_rate"] = min(float(f"{head:.1e}"), _HIGHEST_POSSIBLE)
        return settings

    @property
    def overrides(self) -> list[str]:
        """The settings as command-line overrides: `training.learning_rate=5e-5`."""
        from kerasft.studies.lr_finder.curve import describe_rate

        return [f"{name}={describe_rate(rate)}" for name, rate in self.settings.items()]

    def to_json(self) -> dict[str, object]:
        """Returns the object that `--json` prints and `find_lr.json` holds."""
        curve, suggestion = self.curve, self.suggestion
        return {
            "run_dir": str(self.folder.path),
            "recipe": self.recipe.name,
            "settings": self.settings,
            **suggestion._asdict(),
            "steps": len(curve.losses),
            "diverged": curve.diverged,
            "highest_rate_seen": float(curve.rates[-1]),
            "csv": str(self.csv_path),
            "plot": str(self.plot_path),
        }


def find_learning_rate(
    recipe: Recipe,
    rates: RateRange | None = None,
    *,
    callbacks: Sequence[Callback] = (),
    runs_folder: str | Path = "runs",
) -> RateSearch:
    """Runs the learning-rate range test on a recipe, and writes the results.

    Only the schedule and the length differ from a run, and no layer is frozen for gradual
    unfreezing: data, model, loss, optimizer and the ratios of layer rates are the recipe's. No
    weights are kept. The recipe is written as `find_lr.toml`, not `recipe.toml`, so that the folder
    is not mistaken for a run.

    Args:
        recipe: What to train.
        rates: The range; `None` is the default range.
        callbacks: Notified of events, in addition to TensorBoard.
        runs_folder: Where the folder `find_lr-<recipe>-<date>-<time>` is made.
    """
    rates = rates or RateRange()
    rates.check()

    from kerasft.runs.context import load_context
    from kerasft.runs.train import build_trained_model
    from kerasft.training.callbacks.tensorboard import TensorBoardCallback

    # Before a folder is made: a mistake leaves none behind.
    context = load_context(_tested(recipe, rates.num_steps), callbacks)
    model = build_trained_model(context)
    folder = create_run_dir(f"{SEARCH}-{recipe.name}", runs_folder)
    recipe_text = context.recipe.to_toml()
    folder.write_text(f"{SEARCH}.toml", recipe_text)
    folder.write_json("environment.json", describe_environment())
    context.callbacks.replace_writers([TensorBoardCallback(folder.tensorboard_folder, recipe_text)])
    try:
        curve = _test_rates(context, model, rates)
    finally:
        context.callbacks.close()
    return _write(context.recipe, folder, curve)


def _tested(recipe: Recipe, num_steps: int) -> Recipe:
    """Returns the recipe with the length of the range, and with all layers from the start.

    A rate for the head alone, with which gradual unfreezing starts, is too high for the layers that
    join it.
    """
    training = dataclasses.replace(
        recipe.training,
        epochs=None,
        examples=None,
        steps=num_steps,
        unfreeze_every_steps=None,
        unfreeze_every_epochs=None,
        unfreeze_every_examples=None,
    )
    return dataclasses.replace(recipe, training=training)


def _test_rates(context: RunContext, model: FineTuner, rates: RateRange) -> RateCurve:
    from kerasft.runs.training_data import training_data
    from kerasft.studies.lr_finder.finder import run_rate_test
    from kerasft.training.loop.memory import naming_memory

    data = training_data(context, model)
    context.callbacks.on_start(
        start_step=0, total_steps=rates.num_steps, steps_per_epoch=data.plan.steps_per_epoch
    )
    with naming_memory(lambda: "the learning-rate range test"):
        return run_rate_test(
            model,
            context.strategy,
            data.batches(0),
            **rates._asdict(),
            on_step=lambda result: context.callbacks.on_step(result, data.stats(result.step - 1)),
        )


def _write(recipe: Recipe, folder: RunDir, curve: RateCurve) -> RateSearch:
    """Writes curve, plot and suggestion into the folder."""
    from kerasft.evaluation.figures import write_tensorboard_image
    from kerasft.studies.lr_finder.curve import suggest_rate
    from kerasft.studies.lr_finder.plot import plot_rate_curve

    search = RateSearch(recipe, folder, curve, suggest_rate(curve))
    rows = zip(curve.rates, curve.losses, curve.smoothed(), strict=True)
    lines = [f"{step},{','.join(f'{v:.9g}' for v in row)}" for step, row in enumerate(rows, 1)]
    folder.write_text(
        search.csv_path.name, "\n".join(["step,learning_rate,loss,smoothed_loss", *lines, ""])
    )
    title = f"{recipe.name}: learning-rate range test"
    png = plot_rate_curve(curve, search.suggestion.learning_rate, title=title)
    write_atomically(search.plot_path, png)
    images = folder.tensorboard_folder / SEARCH
    write_tensorboard_image(images, SEARCH, png, step=len(curve.losses))
    folder.write_json(f"{SEARCH}.json", search.to_json())
    return search
