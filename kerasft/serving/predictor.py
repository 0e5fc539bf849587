"""Predicts with an exported SavedModel: TensorFlow and TF-Text are all it needs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasft.errors import UserError, first_line
from kerasft.export.layout import SIGNATURE
from kerasft.serving.model_path import check_files, find_saved_model

_BATCH_SIZE = 64
_WINDOW = 1024  # texts that are sorted by length together
_OUTPUTS = {"label", "probabilities", "logits"}


def load_predictor(path: str | os.PathLike[str]) -> Predictor:
    """Loads an exported model.

    Args:
        path: `saved_models/<name>` for the latest version, or `saved_models/<name>/<version>`.

    Raises:
        UserError: There is no model, it is damaged, or it is not one of ours.
    """
    version = find_saved_model(path)
    check_files(version)
    # Imported here, so that a mistyped path does not wait for TensorFlow.
    import tensorflow as tf
    import tensorflow_text  # noqa: F401 - registers the ops of the graph

    try:
        model = tf.saved_model.load(str(version))
    except Exception as error:  # the loader tells of damage in exceptions of every kind
        raise UserError(
            f"The model in {version} cannot be loaded: {first_line(error)}",
            fix="export it anew (kerasft export RUN_DIR), or take another version.",
        ) from error
    _check_is_ours(model, version)
    return Predictor(model)


class Predictor:
    """Answers texts with labels.

    Texts are sorted by length in windows and answered in batches, so that little is padded; the
    answers come in the order of the texts. An answer is
    `{"text": ..., "label": ..., "probabilities": {label name: float}}`, ready for JSON.

    Args:
        model: A loaded SavedModel of `export_saved_model`.

    Example:
        ```python
        predictor = load_predictor("saved_models/imdb")
        predictor.predict(["A quiet, moving film."])[0]["label"]  # "pos"
        ```
    """

    def __init__(self, model):
        self._model = model  # owns the variables that the signature reads
        self._answer = model.signatures[SIGNATURE]
        self.label_names = tuple(name.decode() for name in model.label_names.numpy())

    def predict(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """Returns the answer to each text.

        Raises:
            UserError: `texts` is not a sequence of texts.
        """
        if isinstance(texts, str | bytes):
            raise UserError(
                "`texts` must be several texts.",
                received=texts[:40],
                expected="a list of strings",
                fix="put a single text into a list.",
            )
        checked = [_check_text(text, number) for number, text in enumerate(texts, start=1)]
        return list(self.predict_stream(checked))

    def predict_stream(self, lines: Iterable[str | None]) -> Iterator[dict[str, Any]]:
        """Yields the answer to each line, in their order, holding a window of lines at most.

        The first window is one batch and each is twice as large as the one before, up to 1,024
        lines. A window waits until it is full; `None` among the lines has it answered at once,
        which is how `kerasft.serving.lines.read_lines` tells that nobody writes just now.

        Args:
            lines: Texts, taken as they are, and `None`, which gets no answer.

        Raises:
            UserError: A line is not a text. Those in windows before it have been answered.
        """
        for window in _windows(lines):
            answers: list[dict[str, Any]] = [{}] * len(window)
            by_length = sorted(range(len(window)), key=lambda index: len(window[index]))
            for start in range(0, len(window), _BATCH_SIZE):
                batch = by_length[start : start + _BATCH_SIZE]
                texts = [window[index] for index in batch]
                for index, answer in zip(batch, self._predict_batch(texts), strict=True):
                    answers[index] = answer
            yield from answers

    def _predict_batch(self, texts: list[str]) -> Iterator[dict[str, Any]]:
        import tensorflow as tf

        # Half a surrogate pair is no UTF-8; the graph drops it.
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        outputs = self._answer(text=tf.constant(encoded, tf.string))
        labels = outputs["label"].numpy().tolist()
        probabilities = outputs["probabilities"].numpy().tolist()
        for text, label, row in zip(texts, labels, probabilities, strict=True):
            yield {
                "text": text,
                "label": label.decode(),
                "probabilities": dict(zip(self.label_names, row, strict=True)),
            }


def _windows(lines: Iterable[str | None]) -> Iterator[list[str]]:
    """Yields full windows, and what there is at each `None` and at the end."""
    window: list[str] = []
    size, number = _BATCH_SIZE, 0
    for line in lines:
        if line is not None:
            number += 1
            window.append(_check_text(line, number))
        if window and (line is None or len(window) == size):
            yield window
            window, size = [], min(2 * size, _WINDOW)
    if window:
        yield window


def _check_text(line: object, number: int) -> str:
    if isinstance(line, str):
        return line
    raise UserError(
        f"Text number {number} is not a text.",
        received=type(line).__name__,
        expected="a string",
        fix="leave it out, or give an empty string.",
    )


def _check_is_ours(model, version: Path) -> None:
    """Checks that a SavedModel has the signature and the label names that an export writes."""
    signature = getattr(model, "signatures", {}).get(SIGNATURE)
    inputs = list(signature.structured_input_signature[1]) if signature else []
    outputs = set(signature.structured_outputs) if signature else set()
    if inputs != ["text"] or not outputs >= _OUTPUTS or not hasattr(model, "label_names"):
        raise UserError(
            f"The SavedModel in {version} was not exported by kerasft.",
            received=f"signature {SIGNATURE}: {inputs} -> {sorted(outputs)}"
            if signature
            else f"no signature {SIGNATURE}",
            expected=f"['text'] -> {sorted(_OUTPUTS)}, and the attribute label_names",
            fix="give a model that a kerasft pipeline exported.",
        )
