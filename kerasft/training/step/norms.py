"""Norms by layer: of weights, gradients, updates and LoRA products.

Gradients are the train step's: summed over the replicas, divided by the sum of the sample weights,
penalties added, not clipped. Weights are read outside the step's graph, so that the step computes
the same with and without measuring.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from kerasft.models.adapters.lora import LoRA
from kerasft.models.depth import encoder_groups

HEAD = "head"


class NormWatch:
    """Measures a model's norms in some of its steps.

    A measured step needs memory for one more copy of the trained weights.

    Args:
        model: A compiled `FineTuner`. Its step will return `gradient_squares`, so create this
            before the step is traced.
        every_steps: Measure the first and every n-th step; 0: never.
    """

    def __init__(self, model, every_steps: int):
        model.returns_gradient_squares = every_steps > 0
        self._every_steps = every_steps
        self._model = model
        self._layers = layer_names(model)
        self._loras = list(_find_loras(model.encoder)) if every_steps else []
        self._before: list[tf.Tensor] = []

    def begin(self, step: int) -> None:
        """Copies the weights before a step, if it is to be measured."""
        is_due = self._every_steps > 0 and (step == 1 or step % self._every_steps == 0)
        self._before = self._model.trained_values() if is_due else []

    def end(self, gradient_squares) -> dict[str, float]:
        """Measures the step, from the `gradient_squares` that it returned.

        Returns:
            `weight_norm/<layer>` (after the step), `gradient_norm/<layer>`, `update_ratio/<layer>`
            (norm of the update over that of the previous weights), and for each adapted matrix
            `lora_norm/<layer>/<matrix>` (norm of the added matrix). Empty for a step that is not
            measured.
        """
        if not self._before:
            return {}
        before, self._before = self._before, []
        after = self._model.trained_values()
        weights = self._norms(squares(after))
        # One at a time: all together would be a third copy of the weights.
        updates = self._norms(squares(a - b for a, b in zip(after, before, strict=True)))
        old, gradients = self._norms(squares(before)), self._norms(gradient_squares)
        found = {}
        for layer in weights:
            found[f"weight_norm/{layer}"] = weights[layer]
            found[f"gradient_norm/{layer}"] = gradients[layer]
            found[f"update_ratio/{layer}"] = updates[layer] / old[layer] if old[layer] else 0.0
        return found | {f"lora_norm/{name}": lora_norm(lora) for name, lora in self._loras}

    def _norms(self, squares_of_variables) -> dict[str, float]:
        """Returns the norm of each layer from the squared norms of its variables."""
        sums = dict.fromkeys(self._layers, 0.0)
        values = np.asarray(squares_of_variables, np.float64)
        for layer, value in zip(self._layers, values, strict=True):
            sums[layer] += float(value)
        return {layer: float(np.sqrt(total)) for layer, total in sums.items()}


def squares(tensors: Iterable[tf.Tensor]) -> tf.Tensor:
    """Returns squared norms, float32 `(num_tensors,)`; an `IndexedSlices` must have unique rows."""
    return 2 * tf.stack([_half_square(tensor) for tensor in tensors])


def _half_square(tensor) -> tf.Tensor:
    values = tensor.values if isinstance(tensor, tf.IndexedSlices) else tensor
    return tf.nn.l2_loss(tf.cast(values, tf.float32))


def clip_factor(norm: tf.Tensor, largest: float) -> tf.Tensor:
    """Returns the factor that clips gradients by global norm; NaN if the norm is not finite.

    `largest` is the maximum norm; 0 clips nothing.
    """
    if not largest:
        return tf.ones(())
    return largest / tf.maximum(norm, largest) + (norm - norm)


def layer_names(model) -> list[str]:
    """Returns the layer of each trained variable: `embeddings`, `layer_0`, ..., `head`."""
    names = {
        weight.path: group.name.replace(" ", "_")
        for group in encoder_groups(model.encoder)
        for weight in group.weights
    }
    names |= {weight.path: HEAD for weight in model.head.weights}
    return [names[variable.path] for variable in model.trainable_variables]


def lora_norm(lora: LoRA) -> float:
    """Returns the Frobenius norm of `scale * A B`, without computing that matrix."""
    a, b = (np.asarray(tf.identity(w.value), np.float64) for w in (lora.lora_a, lora.lora_b))
    # ||A B||^2 = trace(B' A' A B) = sum of (A' A) * (B B'), both (rank, rank).
    return lora.scale * float(np.sqrt(max(np.sum((a.T @ a) * (b @ b.T)), 0.0)))


def _find_loras(encoder) -> Iterable[tuple[str, LoRA]]:
    """Yields each LoRA of an encoder as `layer_0/query`, lowest layer first."""
    for index, block in enumerate(encoder.layer_map.blocks):
        for place in block.linears.values():
            if isinstance(place.layer, LoRA):
                yield f"layer_{index}/{place.layer.name}", place.layer
