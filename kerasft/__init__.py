"""kerasft takes labelled text to a served model: fine-tune a KerasHub encoder, export, predict.

What the command line does, from Python:
```python
import kerasft

run = kerasft.run("imdb_quick", {"training.epochs": 1})
run.metrics["test/accuracy"], run.saved_model, run.history
kerasft.load(run.saved_model).predict(["A quiet film."])
model = kerasft.build("imdb_quick")
kerasft.compare(run.path, "runs/another").conclusions()
```

Importing kerasft is light: TensorFlow is imported when one of these functions first needs it.
Import kerasft before TensorFlow, which then computes with oneDNN on every x86 processor.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from kerasft.processor import switch_onednn_on

if TYPE_CHECKING:
    from kerasft.run_dir.result import Run
    from kerasft.serving.predictor import Predictor
    from kerasft.studies.compare.comparison import Comparison
    from kerasft.training.step.fine_tuner import FineTuner

__all__ = ["build", "compare", "load", "run"]
__version__ = "0.1.0"

switch_onednn_on()


def run(name: str | os.PathLike[str], overrides: Mapping[str, object] | Iterable[str] = ()) -> Run:
    """Runs a recipe to its end, with progress, as `kerasft run` does.

    Args:
        name: Name of a shipped recipe, or path of a TOML file.
        overrides: `{"section.key": value}`, or `"section.key=value"` strings.

    Returns:
        What the run left: `metrics`, `saved_model`, `history`, `path`, ... as plain data.

    Raises:
        UserError: For a mistake in recipe, data or surroundings.
    """
    from kerasft.recipe import load_recipe

    recipe = load_recipe(name, overrides)  # a mistake is told before TensorFlow takes its seconds

    from kerasft.runs import train
    from kerasft.runs.terminal import build_progress

    return train.run(recipe, callbacks=[build_progress(recipe)])


def load(path: str | os.PathLike[str]) -> Predictor:
    """Loads an exported model.

    Args:
        path: A version's folder, or the folder of all versions, whose newest is taken.

    Raises:
        UserError: There is no model of ours.
    """
    from kerasft.serving.predictor import load_predictor

    return load_predictor(path)


def build(
    name: str | os.PathLike[str], overrides: Mapping[str, object] | Iterable[str] = ()
) -> FineTuner:
    """Builds the compiled `keras.Model` of a recipe, to be trained with `fit`.

    Args:
        name: Name of a shipped recipe, or path of a TOML file.
        overrides: `{"section.key": value}`, or `"section.key=value"` strings.

    Raises:
        UserError: For a mistake in recipe, data or surroundings.
    """
    from kerasft.recipe import load_recipe

    recipe = load_recipe(name, overrides)

    from kerasft.runs import train
    from kerasft.runs.terminal import build_progress

    return train.build(recipe, callbacks=[build_progress(recipe)])


def compare(
    *runs: str | os.PathLike[str], split: str | None = None, metrics: Iterable[str] = ()
) -> Comparison:
    """Compares finished runs: settings and metrics that differ, and whether that is noise.

    Args:
        runs: Two run directories or more.
        split: What to compare on; `None`: `test` where all have it, else `validation`.
        metrics: Metrics to test, such as `f1_macro`; none: the headline of the task.

    Raises:
        UserError: The runs cannot be compared, or have no such split or metric.
    """
    from kerasft.studies.compare.compared_runs import choose_split, open_runs

    choose_split(open_runs(runs), split)  # a mistake is told before TensorFlow takes its seconds

    from kerasft.studies.compare.comparing import compare_runs

    return compare_runs(runs, split=split, metrics=tuple(metrics))
