"""The signatures of an exported model: what a client may ask, and in which form.

`serving_default` takes raw text and gives all that the task's `decode` returns. The others are the
same model with another door: `classify` and `regress` take `tf.train.Example`, as TensorFlow
Serving's Classify and Regress calls send them; `tokens` takes ids from callers who tokenize;
`embed` gives the vectors that the head sees.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from kerasft.data.example import NUMBER
from kerasft.errors import UserError, nearest
from kerasft.export.layout import SIGNATURE, input_names
from kerasft.export.length_buckets import widen
from kerasft.models.fast.fast_ops import without_gradients
from kerasft.models.windows import over_windows
from kerasft.text.uncompiled import not_compiled

CLASSIFY, REGRESS, TOKENS, EMBED = "classify", "regress", "tokens", "embed"
EXAMPLES = "inputs"  # the one input of `classify` and `regress`, as the server wants it
TOKEN_INPUTS = ("token_ids", "segment_ids", "padding_mask")

Graph = Callable[..., dict[str, tf.Tensor]]

_EXAMPLES_SPEC = tf.TensorSpec([None], tf.string, EXAMPLES)


def signature_names(kind: str) -> tuple[str, ...]:
    """Returns the signatures that a model can have.

    Args:
        kind: The task's kind of label: `single`, `multi` or `number`.
    """
    return (SIGNATURE, REGRESS if kind == NUMBER else CLASSIFY, TOKENS, EMBED)


def check_signatures(names: Sequence[str], kind: str) -> tuple[str, ...]:
    """Returns the signatures to export: those asked for, and always `serving_default`.

    Args:
        names: What was asked for; none is all.
        kind: The task's kind of label.

    Raises:
        UserError: The model cannot have one of them.
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
        model: A `FineTuner`; its head, and so the answers, are float32.
        task: Turns logits into the answer.
        preprocessor: Turns texts into the model's inputs.
        has_pairs: Whether an example is a pair of texts.
        names: From `check_signatures`.
        weights: Makes the scope that the graphs are traced in, one for each.
        buckets: Widths that batches are padded to. Defaults to none: that of the longest text.
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
    """Returns for each signature the type and shape of its `inputs` and `outputs`, as text.

    Args:
        signatures: From `trace_signatures`.
    """

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
    """Returns the texts of serialized examples; one without a text is an error of the request."""
    features = {name: tf.io.FixedLenFeature([], tf.string) for name in texts}
    parsed = tf.io.parse_example(examples, features)
    return [parsed[name] for name in texts]


def _classify(answer: Graph, task, texts: Sequence[str]) -> Graph:
    def graph(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = answer(*_parse(examples, texts))
        # One of several labels has probabilities; of labels that may apply together each a score.
        scores = outputs.get("probabilities", outputs.get("scores"))
        names = tf.constant([list(task.label_names)], tf.string)
        return {"classes": tf.tile(names, [tf.shape(scores)[0], 1]), "scores": scores}

    return graph


def _regress(answer: Graph, texts: Sequence[str]) -> Graph:
    return lambda examples: {"outputs": answer(*_parse(examples, texts))["value"]}


def _embed(model, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the vectors of each text.

    Args:
        model: A `FineTuner`.
        inputs: `token_ids`, `segment_ids`, `padding_mask`, int32 `(batch_size, sequence_length)`.

    Returns:
        `pooled`, what the head sees, and `mean`, the mean over the tokens: float32
        `(batch_size, hidden_dim)`. Of a text in windows both are the mean over its windows.
    """

    def compute(rows: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        encoder, mask = model.encoder, rows["padding_mask"]
        hidden = encoder(rows, training=False)
        return {"pooled": encoder.pool(hidden, mask), "mean": encoder.mean(hidden, mask)}

    return over_windows(inputs, model.window_length, compute)
