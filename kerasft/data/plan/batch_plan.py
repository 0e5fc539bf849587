"""The examples of step s of epoch e: a pure function of lengths, seed, epoch and settings.

The order comes from a hash of (seed, epoch, index), so every machine computes the same plan.
NumPy's random generators are not used: their streams may change between versions.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from kerasft.data.plan.balance import PADDING_MULTIPLE, deal_evenly
from kerasft.data.plan.scatter import draws, key_of
from kerasft.errors import UserError

_FULL_POSITIONS, _MOST_TIMES = 4096, 4  # of a batch that is only evaluated
_EXAMPLES, _BATCHES = 1, 2  # two independent orders from one (seed, epoch)


@dataclasses.dataclass(frozen=True, eq=False)
class BatchPlan:
    """The batches of a training run; each can be computed without those before it.

    Every epoch visits every example exactly once. The epoch's order is cut into groups of
    `length_group_batches` batches, each group is sorted by length so that its batches need little
    padding, and the batches are then shuffled. The examples that do not fill a batch come last, as
    one ragged batch; they are drawn before sorting, so that they are not always the longest texts.

    Args:
        lengths: int `(num_examples,)`: tokens per example.
        batch_size: Examples per step, over all replicas.
        seed: Seed of the order.
        length_group_batches: Batches that are sorted by length together. 1 turns grouping off; more
            means less padding and less varied batches.
        replicas: Number of replicas that share a batch: its rows are ordered so that each computes
            about the same. Defaults to 1: order unchanged.
        pad_length_to: The width of a batch is its longest example, rounded up to a multiple of
            this. Does not affect which examples make up a batch.

    Raises:
        UserError: Without examples, or when a setting is smaller than 1.

    Example:
        >>> plan = BatchPlan(np.array([5, 9, 7]), batch_size=2, seed=1)
        >>> plan.steps_per_epoch, len(plan.batch(0)), len(plan.batch(1))
        (2, 2, 1)
    """

    lengths: np.ndarray
    batch_size: int
    seed: int = 1
    length_group_batches: int = 50
    replicas: int = 1
    pad_length_to: int = PADDING_MULTIPLE
    _latest: dict[int, np.ndarray] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        _check_plannable(self.lengths, self.batch_size)
        if self.length_group_batches < 1:
            raise UserError(
                "length_group_batches is too small.",
                received=self.length_group_batches,
                expected="an integer of at least 1 (1 = no grouping by length)",
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch, the ragged one included."""
        return -(-len(self.lengths) // self.batch_size)

    def batch(self, step: int) -> np.ndarray:
        """Returns the example indices, int64, of a step counted from the start of the run."""
        epoch, index = divmod(step, self.steps_per_epoch)
        order = self._latest.get(epoch)
        if order is None:
            order = self._order(epoch)
            self._latest.clear()  # a memo of one: steps are asked for in order
            self._latest[epoch] = order
        rows = order[index * self.batch_size : (index + 1) * self.batch_size]
        return rows[deal_evenly(self.lengths[rows], self.replicas)]

    def _order(self, epoch: int) -> np.ndarray:
        shuffled = _permutation(len(self.lengths), self.seed, epoch, _EXAMPLES)
        num_full = len(shuffled) // self.batch_size
        full, ragged = np.split(shuffled, [num_full * self.batch_size])
        group = np.arange(len(full)) // (self.batch_size * self.length_group_batches)
        full = full[np.lexsort((self.lengths[full], group))]  # stable: ties stay shuffled
        batches = full.reshape(num_full, self.batch_size)
        batches = batches[_permutation(num_full, self.seed, epoch, _BATCHES)]
        return np.concatenate([batches.ravel(), ragged])


def evaluation_batches(lengths: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Returns int64 index arrays that cover every example once, sorted by length.

    The longest come first: running out of memory then fails at once, and the estimated time left is
    too high rather than too low. Short examples form batches of two to four times `batch_size` with
    at most 4,096 tokens: matrix products of fewer rows are slower. Only the last batch may be
    ragged.

    Raises:
        UserError: Without examples, or when `batch_size` is smaller than 1.
    """
    _check_plannable(lengths, batch_size)
    order = np.argsort(-lengths.astype(np.int64), kind="stable")
    batches, start = [], 0
    while start < len(order):
        positions = batch_size * int(lengths[order[start]])
        times = min(max(_FULL_POSITIONS // max(positions, 1), 1), _MOST_TIMES)
        batches.append(order[start : start + times * batch_size])
        start += times * batch_size
    return batches


def _check_plannable(lengths: np.ndarray, batch_size: int) -> None:
    if len(lengths) == 0:
        raise UserError(
            "There are no examples to make batches of.",
            received=0,
            expected="at least 1 example",
            fix="check the dataset's split, data.train_examples and data.validation_fraction.",
        )
    if batch_size < 1:
        raise UserError(
            "batch_size is too small.", received=batch_size, expected="an integer of at least 1"
        )


def _permutation(size: int, seed: int, epoch: int, purpose: int) -> np.ndarray:
    """Returns a permutation of `range(size)`, int64, the same on every machine."""
    # No two draws of a key tie.
    return np.argsort(draws(key_of(seed, epoch, purpose), size), kind="stable")
