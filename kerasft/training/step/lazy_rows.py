"""Lazy AdamW for a table of which each batch reads few rows.

A row without a gradient still moves, by weight decay and momentum. Its pending movement depends on
few numbers per row, the same for its whole width. They are updated each step, and the row is
brought up to date when a batch reads it, or before the whole table is read.
"""

from __future__ import annotations

from collections.abc import Iterator

import keras
import tensorflow as tf

_AT_ONCE = 4096  # rows per chunk when all are brought up to date: bounds temporary memory

# Kept for each row since it was up to date, summed over the steps s since then; j is the number of
# a step since then, and c(s) the rate with Adam's bias corrections, decayed by the steps after s.
_START = (
    1.0,  # beta_1 ** j: what is left of the first moment
    1.0,  # beta_2 ** (j / 2): what is left of the root of the second
    0.0,  # the sum of c(s) * beta_1 ** j: how far the first moment has carried the row
    0.0,  # the sum of c(s) * beta_1 ** j * beta_2 ** (j / 2)
    0.0,  # the sum of c(s) * beta_1 ** j * beta_2 ** j
    0.0,  # the sum of log(1 - rate * decay)
)
NUM_COUNTS = len(_START)
COUNTS_NAME = "lazy_counts"  # of the optimizer's variable


class LazyRows:
    """The rows of one table, its moments, and the pending steps of each row.

    A row with pending steps moves by `sum of c(s) * beta_1 ** j * m / (beta_2 ** (j / 2) * sqrt(v)
    + epsilon)`, where `beta_2 ** (j / 2)` is close to 1 wherever `beta_1 ** j` counts. The sum is
    computed from the factor's mean and variance; the error is of third order in its variation, with
    the usual betas below the rounding of float32. All else is exact, so the table equals one that
    is updated whole, up to rounding.

    Args:
        table: float32 Keras variable `(rows, width)`.
        momentum: Its first moment, same shape.
        velocity: Its second moment, same shape.
        counts: float32 variable `(rows, NUM_COUNTS)`, see `initial_counts`.
        beta_1: Decay rate of the first moment.
        beta_2: Decay rate of the second moment.
        epsilon: Added to the root of the second moment.
        weight_decay: Decay per step and unit of the learning rate.
    """

    def __init__(
        self,
        table: keras.Variable,
        momentum: keras.Variable,
        velocity: keras.Variable,
        counts: keras.Variable,
        *,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float,
    ):
        self.table = table
        self.momentum = momentum
        self.velocity = velocity
        self.counts = counts
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.weight_decay = weight_decay

    def catch_up(self, rows: tf.Tensor) -> None:
        """Brings rows, int `(n,)` without repeats, up to date; call it before they are read."""
        table, momentum, velocity = self._caught_up(rows)
        self._scatter(rows, table, self.table)
        self._scatter(rows, momentum, self.momentum)
        self._scatter(rows, velocity, self.velocity)
        self._reset(rows)

    def values(self) -> tf.Tensor:
        """Returns the up-to-date table; changes nothing."""
        return tf.concat([self._caught_up(rows)[0] for rows in self._parts()], axis=0)

    def catch_up_all(self) -> None:
        """Brings the whole table up to date, between steps and under any strategy."""
        parts = [self._caught_up(rows) for rows in self._parts()]
        variables = (self.table, self.momentum, self.velocity)
        for variable, values in zip(variables, zip(*parts, strict=True), strict=True):
            variable.assign(tf.concat(values, axis=0))
        self.counts.assign(initial_counts(self.table.shape[0]))

    def apply(self, gradient: tf.IndexedSlices, *, rate: tf.Tensor, correction: tf.Tensor) -> None:
        """Does a step: updates the rows that have a gradient; the step is pending for the others.

        Args:
            gradient: Each row once; all of them up to date.
            rate: Scalar learning rate of this step.
            correction: Adam's scalar `sqrt(1 - beta_2 ** t) / (1 - beta_1 ** t)`.
        """
        self._count(rate, correction)
        rows, values = gradient.indices, gradient.values
        momentum = tf.gather(self.momentum.value, rows)
        momentum += (1 - self.beta_1) * (values - momentum)
        velocity = tf.gather(self.velocity.value, rows)
        velocity += (1 - self.beta_2) * (tf.square(values) - velocity)
        table = tf.gather(self.table.value, rows)
        table -= rate * self.weight_decay * table
        table -= rate * correction * momentum / (tf.sqrt(velocity) + self.epsilon)
        self._scatter(rows, table, self.table)
        self._scatter(rows, momentum, self.momentum)
        self._scatter(rows, velocity, self.velocity)
        self._reset(rows)

    def _parts(self) -> Iterator[tf.Tensor]:
        """Yields all row indices, in chunks."""
        num_rows = self.table.shape[0]
        for start in range(0, num_rows, _AT_ONCE):
            yield tf.range(start, min(start + _AT_ONCE, num_rows))

    def _caught_up(self, rows) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns up-to-date table, momentum and velocity of rows."""
        counts = tf.gather(self.counts.value, rows)
        first, second, carried, mean, square, decayed = tf.unstack(counts[:, tf.newaxis], axis=-1)
        momentum = tf.gather(self.momentum.value, rows)
        velocity = tf.gather(self.velocity.value, rows)
        mean = tf.math.divide_no_nan(mean, carried)
        variance = tf.math.divide_no_nan(square, carried) - tf.square(mean)
        root = tf.sqrt(velocity)
        divisor = mean * root + self.epsilon
        moved = carried * momentum / divisor * (1 + variance * tf.square(root / divisor))
        table = tf.gather(self.table.value, rows)
        table += table * tf.math.expm1(decayed) - moved
        return table, momentum * first, velocity * tf.square(second)

    def _count(self, rate, correction) -> None:
        """Adds one pending step to every row."""
        first, second, carried, mean, square, decayed = tf.unstack(self.counts.value, axis=-1)
        first, second = first * self.beta_1, second * self.beta_2**0.5
        kept = 1 - rate * self.weight_decay
        share = rate * correction * first
        carried = carried * kept + share
        mean = mean * kept + share * second
        square = square * kept + share * tf.square(second)
        decayed += tf.math.log1p(-rate * self.weight_decay)
        counts = (first, second, carried, mean, square, decayed)
        self.counts.assign(tf.stack(counts, axis=-1))

    def _reset(self, rows) -> None:
        self._scatter(rows, tf.tile([_START], [tf.size(rows), 1]), self.counts)

    @staticmethod
    def _scatter(rows, values, variable: keras.Variable) -> None:
        # With one replica, use the component: the strategy's container cannot be written by rows.
        (local,) = tf.distribute.get_strategy().experimental_local_results(variable.value)
        local.scatter_update(tf.IndexedSlices(values, rows))


def initial_counts(num_rows: int) -> tf.Tensor:
    """Returns the counts of up-to-date rows, float32 `(num_rows, NUM_COUNTS)`."""
    return tf.tile([_START], [num_rows, 1])


def sum_rows(gradient: tf.IndexedSlices) -> tf.IndexedSlices:
    """Sums repeated rows of a gradient, so that each row occurs once."""
    rows, places = tf.unique(gradient.indices)
    return tf.IndexedSlices(
        tf.math.unsorted_segment_sum(gradient.values, places, tf.size(rows)),
        rows,
        gradient.dense_shape,
    )
