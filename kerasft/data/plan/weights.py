"""Class weights for the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kerasft.errors import UserError, nearest

BALANCED = "balanced"


def class_weights(
    weights: Mapping[str, float] | str, labels: np.ndarray, label_names: Sequence[str]
) -> np.ndarray:
    """Returns the weight of each class, float64 `(num_classes,)`, in label order.

    `weights` are those of some classes by name (others weigh 1), or `balanced`, which weighs a
    class by `num_examples / (num_classes * its examples)`, so that all classes count alike
    (King & Zeng 2001; scikit-learn's `class_weight="balanced"`). `labels`, int `(num_examples,)`,
    are the classes of the training examples.

    Raises:
        UserError: If a name is not a class.
    """
    if weights == BALANCED:
        counts = np.bincount(labels, minlength=len(label_names))
        return len(labels) / (len(label_names) * np.maximum(counts, 1))
    for name in weights:
        if name not in label_names:
            raise UserError(
                f"training.class_weights names no class.{nearest(name, label_names)}",
                received=name,
                expected=f"names of {', '.join(label_names)}",
            )
    return np.array([weights.get(name, 1.0) for name in label_names])
