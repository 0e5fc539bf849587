"""Predicts with an exported SavedModel; needs only TensorFlow and TF-Text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kerasft.errors import UserError, first_line
from kerasft.export.layout import SIGNATURE, input_names
from kerasft.serving.answers import OUTPUTS, kind_of
from kerasft.serving.examples import Texts
from kerasft.serving.model_path import check_files, find_saved_model
from kerasft.serving.windows import TextModel


def load_predictor(path: str | os.PathLike[str]) -> Predictor:
    """Loads an exported model.

    Args:
        path: `saved_models/<name>` for the latest version, or `saved_models/<name>/<version>`.

    Raises:
        UserError: If there is no model, it is damaged, or not exported by kerasft.
    """
    version = find_saved_model(path)
    check_files(version)
    # Imported here, so that a mistyped path is reported before TensorFlow loads.
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 - registers the ops of the graph

    try:
        model = tf.saved_model.load(str(version))
    except Exception as error:  # the loader raises all kinds of exceptions for damage
        raise UserError(
            f"The model in {version} cannot be loaded: {first_line(error)}",
            fix="export it anew (kerasft export RUN_DIR), or take another version.",
        ) from error
    _check_is_ours(model, version)
    return Predictor(model)


class Predictor(TextModel):
    """Predicts a label, labels or a number for texts, or pairs of texts.

    Texts are sorted by length within windows and batched, which reduces padding; predictions keep
    the order of the texts. A prediction is JSON-ready. It holds the `text`, for pairs the
    `text_pair`, and by the model's problem type

    - `single`: `label`, `score` (that label's probability) and `probabilities` by label name;
    - `multi`: `labels` (those that apply) and `scores`, the probability of each label by name;
    - `number`: `value`.

    Args:
        model: A loaded SavedModel of `export_saved_model`.

    Example:
        ```python
        predictor = load_predictor("saved_models/imdb")
        predictor.predict(["A quiet, moving film."])[0]["label"]  # "pos"
        load_predictor("saved_models/stsb").predict(["A dog."], ["A cat."])[0]["value"]  # a float
        ```
    """

    def __init__(self, model):
        self._model = model  # owns the variables that the signature reads
        self._answer = model.signatures[SIGNATURE]
        self.kind = kind_of(set(self._answer.structured_outputs))
        self.has_pairs = _inputs_of(self._answer) == sorted(input_names(has_pairs=True))
        self.label_names = tuple(name.decode() for name in model.label_names.numpy())

    def _outputs(self, rows: list[Texts]) -> dict[str, Any]:
        import tensorflow as tf

        # A lone surrogate is no UTF-8; the graph drops it.
        columns = [
            [text.encode("utf-8", "surrogatepass") for text in c] for c in zip(*rows, strict=True)
        ]
        names = input_names(self.has_pairs)
        inputs = {n: tf.constant(c, tf.string) for n, c in zip(names, columns, strict=True)}
        return {name: tensor.numpy() for name, tensor in self._answer(**inputs).items()}


def _inputs_of(signature) -> list[str]:
    return sorted(signature.structured_input_signature[1])


def _check_is_ours(model, version: Path) -> None:
    """Checks for the signature and label names of a kerasft export."""
    signature = getattr(model, "signatures", {}).get(SIGNATURE)
    inputs = _inputs_of(signature) if signature else []
    outputs = set(signature.structured_outputs) if signature else set()
    known_inputs = [sorted(input_names(has_pairs)) for has_pairs in (False, True)]
    is_ours = inputs in known_inputs and kind_of(outputs) and hasattr(model, "label_names")
    if not is_ours:
        answers = " or ".join(str(sorted(names)) for names in OUTPUTS.values())
        raise UserError(
            f"The SavedModel in {version} was not exported by kerasft.",
            received=f"signature {SIGNATURE}: {inputs} -> {sorted(outputs)}"
            if signature
            else f"no signature {SIGNATURE}",
            expected=f"['text'], for pairs also 'text_pair' -> {answers}, and the attribute "
            "label_names",
            fix="give a model that a kerasft pipeline exported.",
        )
