"""The embedding projector: pooled vectors of validation texts at the best weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from kerasft.data.example import MULTI, NUMBER
from kerasft.data.sources.raw_texts import read_raw_texts
from kerasft.evaluation.forward import Forward
from kerasft.evaluation.pictures import write_projector
from kerasft.models.windows import over_windows
from kerasft.run_dir import RunDir
from kerasft.runs.context import RunContext
from kerasft.runs.data.data import VALIDATION, store_logits
from kerasft.runs.data.source import split_names
from kerasft.training.step.fine_tuner import FineTuner


def pooled_vectors(
    context: RunContext, model: FineTuner, strategy: tf.distribute.Strategy | None
) -> np.ndarray | None:
    """Returns the pooled vectors of some validation texts; all processes must call it.

    `strategy` is the one the model was made under; `None`: one device.

    Returns:
        float32 `(num_texts, hidden_dim)`; `None` if the recipe asks for no projector.
    """
    if not context.recipe.logging.projector_texts:
        return None

    def pooled(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return over_windows(
            inputs, model.window_length, lambda rows: model.pooled(rows, training=False)
        )

    store, indices = _shown(context)
    batch_size = context.recipe.evaluation.batch_size
    return store_logits(Forward(pooled, strategy), store, indices, batch_size=batch_size)


def write_projection(
    context: RunContext, run_dir: RunDir, model: FineTuner, vectors: np.ndarray
) -> None:
    """Writes vectors, texts, labels and predictions for TensorBoard's tab "Projector"."""
    store, indices = _shown(context)
    own = split_names(context.recipe)[VALIDATION]
    texts = read_raw_texts(context.data.source, own, indices, text_hashes=store.text_hashes)
    shown = [
        " | ".join(part.decode("utf-8", "replace") for part in texts[index])
        for index in range(len(texts))
    ]
    labels = _in_words(context.task, store.labels[indices])
    logits = model.head(tf.constant(vectors), training=False).numpy()
    answers = _in_words(context.task, _answers(context.task, logits))
    right = ["right" if a == b else "wrong" for a, b in zip(labels, answers, strict=True)]
    columns = {"text": shown, "label": labels, "answer": answers}
    if context.task.kind != NUMBER:
        columns["verdict"] = right
    write_projector(run_dir.tensorboard_folder / VALIDATION, vectors, columns)


def _shown(context: RunContext):
    """Returns the validation store and the indices shown, evenly spaced."""
    store, indices = context.data.examples(VALIDATION)
    count = min(context.recipe.logging.projector_texts, len(indices))
    places = np.linspace(0, len(indices) - 1, count).astype(np.int64)
    return store, indices[places]


def _answers(task, logits: np.ndarray) -> np.ndarray:
    """Returns a task's predictions in the form of labels."""
    answer = task.decode(tf.constant(logits))
    if task.kind == NUMBER:
        return answer["value"].numpy()
    return answer["selected"].numpy() if task.kind == MULTI else logits.argmax(axis=-1)


def _in_words(task, labels: np.ndarray) -> list[str]:
    names = np.asarray(task.label_names)
    if task.kind == NUMBER:
        return [f"{label:g}" for label in labels]
    if task.kind == MULTI:
        return [", ".join(names[np.asarray(label, bool)]) or "none" for label in labels]
    return names[labels].tolist()
