"""What many variables share in one step of an optimizer, made once and not once a variable."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeVar

Made = TypeVar("Made")


class _Memo:
    """Holds what was made; an object of its own, since Keras tracks a plain dictionary."""

    def __init__(self):
        self.made: dict[Hashable, object] = {}


class SharedScalars:
    """Mixed into a `keras.optimizers.Optimizer`: `once` makes a scalar once in an `apply`.

    Rates, decays and Adam's corrections are a dozen operations a variable, of a hundred variables:
    a quarter of all operations of a step, each of which takes time to trace.
    """

    _memo: _Memo | None = None

    def apply(self, grads, trainable_variables=None) -> None:
        """Applies gradients, as Keras does."""
        # Under a strategy all variables of all replicas are updated within the call of each.
        self._memo = _Memo()
        try:
            super().apply(grads, trainable_variables)
        finally:
            self._memo = None

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Returns what `make` returned for this key before in the same `apply`, or calls it.

        Args:
            key: Tells what it depends on.
            make: Makes scalar tensors.
        """
        if self._memo is None:  # `update_step` was called by itself
            return make()
        if key not in self._memo.made:
            self._memo.made[key] = make()
        return self._memo.made[key]
