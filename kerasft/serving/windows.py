"""Predicts a stream of texts in batches of similar length, in order."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kerasft.data.example import batched
from kerasft.errors import UserError
from kerasft.export.layout import input_names
from kerasft.serving.answers import build_answers
from kerasft.serving.examples import Texts, check_example, check_examples

if TYPE_CHECKING:
    import numpy as np

BATCH_SIZE = 64
# Of the texts in UTF-8. Tokenizing takes some hundred times as much memory; servers and proxies
# refuse large requests, gRPC's by default above 4 MiB.
BATCH_BYTES = 4_000_000
_WINDOW = 1024  # examples that are sorted by length together
_WINDOW_BYTES = 16 * BATCH_BYTES


class TextError(UserError):
    """A text of a stream, `row`, cannot be predicted.

    Attributes:
        number: Which one, from 1; set by `predict_stream`.
    """

    number = 0

    def __init__(self, row: Texts, what: str):
        super().__init__(what)
        self.row = row

    def __str__(self) -> str:
        return f"Text number {self.number}: {self.args[0]}"


class TextModel(abc.ABC):
    """A model that predicts texts: loaded (`Predictor`) or at a server (`Client`).

    Attributes:
        kind: `single`, `multi` or `number`.
        has_pairs: Whether the model reads pairs of texts.
        label_names: The labels, in label order; empty for regression. `None`: unknown.
    """

    kind: str
    has_pairs: bool
    label_names: Sequence[str] | None
    _batch_size = BATCH_SIZE

    def predict(
        self, texts: Sequence[str], text_pairs: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        """Returns the prediction for each text.

        `text_pairs` are their second texts, for a model that reads pairs.

        Raises:
            UserError: For non-texts, for pairs if the model reads single texts or vice versa, or if
                a server refuses them.
            ServerUnavailableError: If a server does not respond now.
        """
        examples = check_examples(texts, text_pairs, has_pairs=self.has_pairs)
        return list(self.predict_stream(examples))

    def predict_stream(
        self, examples: Iterable[str | tuple[str, str] | None]
    ) -> Iterator[dict[str, Any]]:
        """Yields the prediction for each example in order, holding at most one window of them.

        The first window is one batch and each is twice as large as the one before, up to 1,024
        examples or 64 MB of text. A window waits until it is full; `None` among the examples
        flushes it, as `kerasft.serving.lines.read_lines` does when no input is waiting.

        Args:
            examples: Texts, or tuples of two for a model that reads pairs, used unchanged; and
                `None`, which gets no prediction.

        Raises:
            UserError: As `predict`, after the earlier predictions have been yielded.
            ServerUnavailableError: As `predict`.
        """
        first = 1
        for window, sizes in _windows(examples, self.has_pairs, self._batch_size):
            answers: list[dict[str, Any]] = [{}] * len(window)
            by_length = sorted(range(len(window)), key=lambda index: sum(map(len, window[index])))
            measure = sizes.__getitem__
            batches = list(batched(by_length, self._batch_size, measure, BATCH_BYTES))
            rows = [[window[index] for index in batch] for batch in batches]
            try:
                for batch, of_batch in zip(batches, self._answer_batches(rows), strict=True):
                    for index, answer in zip(batch, of_batch, strict=True):
                        answers[index] = answer
            except TextError as error:
                error.number = first + window.index(error.row)
                raise
            yield from answers
            first += len(window)

    def _answer_batches(self, batches: list[list[Texts]]) -> Iterable[list[dict[str, Any]]]:
        """Returns the predictions of each batch, in order."""
        return map(self._answer_batch, batches)

    def _answer_batch(self, rows: list[Texts]) -> list[dict[str, Any]]:
        names = input_names(self.has_pairs)
        answers = build_answers(self.kind, self._outputs(rows), self.label_names)
        return [
            dict(zip(names, row, strict=True)) | answer
            for row, answer in zip(rows, answers, strict=True)
        ]

    @abc.abstractmethod
    def _outputs(self, rows: list[Texts]) -> Mapping[str, np.ndarray]:
        """Returns the model's outputs for a batch, by name."""


def num_bytes(texts: Texts) -> int:
    """Returns the size of an example's texts in UTF-8."""
    return sum(
        len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        for text in texts
    )


def _windows(
    examples: Iterable[str | tuple[str, str] | None], has_pairs: bool, batch_size: int
) -> Iterator[tuple[list[Texts], list[int]]]:
    """Yields full windows, with the bytes of each example, at each `None` and at the end, too."""
    window: list[Texts] = []
    sizes: list[int] = []
    total, most, number = 0, batch_size, 0
    for example in examples:
        if example is not None:
            number += 1
            window.append(check_example(example, number, has_pairs=has_pairs))
            sizes.append(num_bytes(window[-1]))
            total += sizes[-1]
        if window and (example is None or len(window) == most or total >= _WINDOW_BYTES):
            yield window, sizes
            window, sizes, total = [], [], 0
            most = max(batch_size, min(2 * most, _WINDOW))
    if window:
        yield window, sizes
