"""Answers a stream of texts in batches of like lengths, and gives the answers in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kerasft.serving.examples import Texts, check_example

BATCH_SIZE = 64
_WINDOW = 1024  # examples that are sorted by length together

Answers = Iterable[dict[str, Any]]


def answer_stream(
    examples: Iterable[str | tuple[str, str] | None],
    answer_batches: Callable[[list[list[Texts]]], Iterable[Answers]],
    *,
    has_pairs: bool,
    batch_size: int = BATCH_SIZE,
) -> Iterator[dict[str, Any]]:
    """Yields the answer to each example, in their order, holding a window of them at most.

    The first window is one batch and each is twice as large as the one before, up to 1,024
    examples or one batch. A window waits until it is full; `None` among the examples has it
    answered at once. A window is sorted by length before it is cut into batches.

    Args:
        examples: Texts, or tuples of two, and `None`, which gets no answer.
        answer_batches: From the batches of a window to the answers of each, in their order.
        has_pairs: Whether examples must be pairs.
        batch_size: Examples a batch.

    Raises:
        UserError: An example is not what the model reads. Those in windows before it have been
            answered.
    """
    for window in _windows(examples, has_pairs, batch_size):
        answers: list[dict[str, Any]] = [{}] * len(window)
        by_length = sorted(range(len(window)), key=lambda index: sum(map(len, window[index])))
        batches = [
            by_length[start : start + batch_size] for start in range(0, len(window), batch_size)
        ]
        rows = [[window[index] for index in batch] for batch in batches]
        for batch, of_batch in zip(batches, answer_batches(rows), strict=True):
            for index, answer in zip(batch, of_batch, strict=True):
                answers[index] = answer
        yield from answers


def _windows(
    examples: Iterable[str | tuple[str, str] | None], has_pairs: bool, batch_size: int
) -> Iterator[list[Texts]]:
    """Yields full windows, and what there is at each `None` and at the end."""
    window: list[Texts] = []
    size, number = batch_size, 0
    for example in examples:
        if example is not None:
            number += 1
            window.append(check_example(example, number, has_pairs=has_pairs))
        if window and (example is None or len(window) == size):
            yield window
            window, size = [], max(batch_size, min(2 * size, _WINDOW))
    if window:
        yield window
