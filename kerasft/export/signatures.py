"""The signatures of an exported model.

`serving_default` takes raw text and returns everything from the task's `decode`. The others wrap
the same model: `classify` and `regress` take `tf.train.Example`, as TensorFlow Serving's Classify
and Regress calls send them; `tokens` takes ids from callers who tokenize; `embed` returns the
head's input vectors.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from kerasft.data.example import NUMBER
from kerasft.errors import UserError, nearest
from kerasft.export.layout import SIGNATURE, TOKEN_INPUTS, input_names
from kerasft.export.length_buckets import widen
from kerasft.models.fast.fast_ops import without_gradients
from kerasft.models.windows import over_windows
from kerasft.text.uncompiled import not_compiled

CLASSIFY, REGRESS, TOKENS, EMBED = "classify", "regress", "tokens", "embed"
EXAMPLES = "inputs"  # the only input of `classify` and `regress`, a name that the server requires

Graph = Callable[..., dict[str, tf.Tensor]]

_EXAMPLES_SPEC = tf.TensorSpec([None], tf.string, EXAMPLES)


def signature_names(kind: str) -> tuple[str, ...]:
    """Returns the signatures of a problem type: `single`, `multi` or `number`."""
    return (SIGNATURE, REGRESS if kind == NUMBER else CLASSIFY, TOKENS, EMBED)


def check_signatures(names: Sequence[str], kind: str) -> tuple[str, ...]:
    """Returns the requested signatures (all if none) and `serving_default`.

    Raises `UserError` for one that the problem type `kind` does not support.
    """
    possible = signature_names(kind)
    for name in names:
        if name not in possible:
            raise UserError(
                f"This model has no such signature.{nearest(name, possible)}",
                received=name,
                expected=f"some of {', '.join(possible)}",
                fix="regress is for models that answer with a number, classify for all others.",
            )
    return tuple(name for name in possible if not names or name in (SIGNATURE, *names))


def trace_signatures(
    model,
    task,
    preprocessor,
    *,
    has_pairs: bool,
    names: Sequence[str],
    weights: Callable[[], contextlib.AbstractContextManager],
    buckets: Sequence[int] = (),
) -> dict[str, tf.types.experimental.ConcreteFunction]:
    """Traces the graph of each signature; all read the same variables.

    Args:
        model: A `FineTuner`; its head, and so the outputs, are float32.
        task: Turns logits into predictions.
        preprocessor: Turns texts into the model's inputs.
        has_pairs: Whether an example is a pair of texts.
        names: From `check_signatures`.
        weights: Creates the scope in which one graph is traced.
        buckets: Widths that batches are padded to. Defaults to none: the longest text's width.
    """
    texts = input_names(has_pairs)
    text_specs = [tf.TensorSpec([None], tf.string, name) for name in texts]

    def fit(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return widen(inputs, buckets, preprocessor.padding_id) if buckets else inputs

    def read(*columns: tf.Tensor) -> dict[str, tf.Tensor]:
        with not_compiled():
            return fit(preprocessor(*columns))

    def answer(*columns: tf.Tensor) -> dict[str, tf.Tensor]:
        return task.decode(model(read(*columns), training=False))

    def answer_tokens(*columns: tf.Tensor) -> dict[str, tf.Tensor]:
        inputs = dict(zip(TOKEN_INPUTS, columns, strict=True))
        return task.decode(model(fit(inputs), training=False))

    graphs: dict[str, tuple[Graph, list[tf.TensorSpec]]] = {
        SIGNATURE: (answer, text_specs),
        CLASSIFY: (_classify(answer, task, texts), [_EXAMPLES_SPEC]),
        REGRESS: (_regress(answer, texts), [_EXAMPLES_SPEC]),
        TOKENS: (
            answer_tokens,
            [tf.TensorSpec([None, None], tf.int32, name) for name in TOKEN_INPUTS],
        ),
        EMBED: (lambda *columns: _embed(model, read(*columns)), text_specs),
    }
    traced = {}
    for name in names:
        graph, specs = graphs[name]
        function = tf.function(_within(weights, graph), input_signature=specs, autograph=False)
        traced[name] = function.get_concrete_function()
    return traced


def describe_signatures(signatures: Mapping[str, Any]) -> dict[str, dict[str, dict[str, str]]]:
    """Returns type and shape of each signature's `inputs` and `outputs`, as text."""

    def describe(specs: Mapping[str, tf.TensorSpec]) -> dict[str, str]:
        return {name: f"{spec.dtype.name} {spec.shape.as_list()}" for name, spec in specs.items()}

    return {
        name: {
            "inputs": describe(
                {spec.name: spec for spec in tf.nest.flatten(graph.structured_input_signature)}
            ),
            "outputs": describe(graph.structured_outputs),
        }
        for name, graph in signatures.items()
    }


def _within(weights: Callable[[], contextlib.AbstractContextManager], graph: Graph) -> Graph:
    def traced(*columns: tf.Tensor) -> dict[str, tf.Tensor]:
        with weights(), without_gradients():
            return graph(*columns)

    return traced


def _parse(examples: tf.Tensor, texts: Sequence[str]) -> list[tf.Tensor]:
    """Returns the texts of serialized examples; one without a text is a request error."""
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in texts}
    parsed = tf.io.parse_example(examples, features)
    return [parsed[name] for name in texts]


def _classify(answer: Graph, task, texts: Sequence[str]) -> Graph:
    def graph(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = answer(*_parse(examples, texts))
        # `probabilities` of single-label tasks, `scores` of multi-label ones.
        scores = outputs.get("probabilities", outputs.get("scores"))
        names = tf.constant([list(task.label_names)], tf.string)
        return {"classes": tf.tile(names, [tf.shape(scores)[0], 1]), "scores": scores}

    return graph


def _regress(answer: Graph, texts: Sequence[str]) -> Graph:
    return lambda examples: {"outputs": answer(*_parse(examples, texts))["value"]}


def _embed(model, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the vectors of each text, from int32 inputs `(batch_size, sequence_length)`.

    Both float32 `(batch_size, hidden_dim)`: `pooled`, the head's input, and `mean`, the mean over
    the tokens. For a text in windows both are averaged over its windows.
    """

    def compute(rows: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        encoder, mask = model.encoder, rows["padding_mask"]
        hidden = encoder(rows, training=False)
        return {"pooled": encoder.pool(hidden, mask), "mean": encoder.mean(hidden, mask)}

    return over_windows(inputs, model.window_length, compute)
