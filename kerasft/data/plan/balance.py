"""Balances a batch over replicas: row i goes to replica i mod n.

A pure function of the rows' lengths, the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PADDING_MULTIPLE = 8  # few distinct widths to compile for, and whole tiles of a GPU


def padded_length(lengths: np.ndarray, multiple: int = PADDING_MULTIPLE) -> int:
    """Returns the width of a batch: its longest example, rounded up to a multiple."""
    longest = int(lengths.max(initial=1))
    return -(-longest // multiple) * multiple


def deal_evenly(lengths: np.ndarray, replicas: int) -> np.ndarray:
    """Orders a batch's rows so that each replica gets about the same number of tokens.

    The longest come first, n at a time, every other n of them reversed: the replica with the
    longest row of a round gets the shortest of the next. If the last round is incomplete, the round
    before it is reversed: the replicas with extra rows have its shortest.

    `lengths`, int `(batch_size,)`, are the tokens of each row. Returns the row at each position,
    int64 `(batch_size,)`; with one replica the order is unchanged.
    """
    rows = np.arange(len(lengths))
    if replicas == 1:
        return rows
    rank, place = rows // replicas, rows % replicas
    num_rounds = len(rows) // replicas
    reverse = ((num_rounds - rank) % 2 == 1) & (rank < num_rounds)
    taken = rank * replicas + np.where(reverse, replicas - 1 - place, place)
    return np.argsort(-lengths.astype(np.int64), kind="stable")[taken]


@dataclass(frozen=True)
class Split:
    """How the rows of a step are divided for computation.

    Args:
        replicas: Number of replicas.
        parts: Number of parts in which each replica computes its rows, each as wide as its longest.
        window_length: Tokens of a window, if rows are read in windows; else `None`.
    """

    replicas: int = 1
    parts: int = 1
    window_length: int | None = None

    def positions(self, lengths: np.ndarray, pad_length_to: int = PADDING_MULTIPLE) -> np.ndarray:
        """Returns the positions each replica computes, int64 `(replicas,)`, without padding rows.

        `lengths`, int `(batch_size,)`, are the tokens of each row in batch order.
        """
        lengths = np.asarray(lengths, np.int64)
        width = padded_length(lengths, pad_length_to)
        size = -(-len(lengths) // (self.replicas * self.parts))
        counts = np.zeros(self.replicas, np.int64)
        for replica in range(self.replicas):
            own = lengths[replica :: self.replicas]
            for start in range(0, len(own), size):
                part = own[start : start + size]
                counts[replica] += self._of_part(part, width if self.parts == 1 else part.max())
        return counts

    def _of_part(self, lengths: np.ndarray, width: int) -> int:
        if self.window_length is None:
            return len(lengths) * width
        windows = np.maximum(-(-lengths // self.window_length), 1)
        return int(windows.sum()) * min(width, self.window_length)
