"""Class weights for the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasft.errors import UserError, nearest

BALANCED = "balanced"


def class_weights(text: str, labels: np.ndarray, label_names: Sequence[str]) -> np.ndarray:
    """Returns the weight of each class, float64 `(num_classes,)`, in label order.

    `text` is comma-separated `name=weight` pairs (other classes weigh 1), or `balanced`, which
    weighs a class by `num_examples / (num_classes * its examples)`, so that all classes count alike
    (King & Zeng 2001; scikit-learn's `class_weight="balanced"`). `labels`, int `(num_examples,)`,
    are the classes of the training examples.

    Raises:
        UserError: If a name is not a class, or is given twice.
    """
    if text.strip() == BALANCED:
        counts = np.bincount(labels, minlength=len(label_names))
        return len(labels) / (len(label_names) * np.maximum(counts, 1))
    weights = np.ones(len(label_names))
    seen = set()
    for part in text.split(","):
        name, _, weight = (piece.strip() for piece in part.rpartition("="))
        if name not in label_names or name in seen:
            raise UserError(
                f"training.class_weights names {'a class twice' if name in seen else 'no class'}."
                f"{nearest(name, label_names)}",
                received=name,
                expected=f"each of {', '.join(label_names)} at most once",
            )
        seen.add(name)
        weights[list(label_names).index(name)] = float(weight)
    return weights
