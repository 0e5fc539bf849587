"""`[export]` and `[logging]`: the outputs of a run."""

from __future__ import annotations

import dataclasses

from kerasft.recipe.rules import FOLDER_NAME, at_least, setting


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """`[export]`: the SavedModel."""

    enabled: bool = setting(True, "Whether to export at all.")
    name: str | None = setting(
        None, "Folder of the model; unset: the pipeline's name.", FOLDER_NAME
    )
    directory: str = setting("saved_models", "Folder of all models.")
    verify: bool = setting(
        True, "Publish a version only when a fresh process gives the run's own answers."
    )


@dataclasses.dataclass(frozen=True)
class LoggingSettings:
    """`[logging]`: what is logged to TensorBoard and Weights & Biases."""

    norms_every_steps: int = setting(
        50,
        "Norms of weights, gradients and updates by layer, at the first step and every so many; "
        "0 is never.",
        at_least(0),
    )
    plots: bool = setting(
        True, "Confusion matrix, reliability diagram, ROC and PR curves of the evaluations."
    )
    projector_texts: int = setting(
        0,
        "So many validation texts in the embedding projector; 0 is none. It writes the texts into "
        "the run directory.",
        at_least(0),
    )
    wandb: str | None = setting(
        None, "Project of Weights & Biases that is told the same; unset: none."
    )
