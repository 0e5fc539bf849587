"""What a served model takes and gives, from the metadata that the server tells of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasft.errors import UserError
from kerasft.export.layout import SIGNATURE, input_names
from kerasft.serving.answers import OUTPUTS, kind_of

CLASSIFY = "classify"  # the signature whose answer names every label
_STRINGS = "DT_STRING"
_DTYPES = {"DT_FLOAT": np.float32, "DT_DOUBLE": np.float64, "DT_BOOL": np.bool_}
_MOST_SHOWN = 5  # signatures


@dataclasses.dataclass(frozen=True)
class TextSignature:
    """A signature that takes texts and answers as our exports do.

    Args:
        kind: `single`, `multi` or `number`.
        has_pairs: Whether it reads pairs of texts.
        outputs: Its outputs by name, each with its type, such as `DT_FLOAT`.
        names_labels: Whether the model also has the signature that names its labels.
    """

    kind: str
    has_pairs: bool
    outputs: Mapping[str, str]
    names_labels: bool


def read_signature(signatures: Mapping[str, Any], which: str) -> TextSignature:
    """Finds out what a model reads and how it answers.

    Args:
        signatures: The model's `SignatureDef`s as JSON has them, by name.
        which: The model, for the message.

    Raises:
        UserError: It takes no texts, or its answers are none of ours.
    """
    definition = signatures.get(SIGNATURE, {})
    inputs, outputs = definition.get("inputs", {}), definition.get("outputs", {})
    kind = kind_of(set(outputs))
    for has_pairs in (False, True):
        names = input_names(has_pairs)
        if kind and set(inputs) == set(names) and all(map(_is_texts, inputs.values())):
            return TextSignature(
                kind,
                has_pairs,
                {name: str(facts.get("dtype")) for name, facts in outputs.items()},
                names_labels=CLASSIFY in signatures and kind != "number",
            )
    found = [_describe(name, signatures[name]) for name in sorted(signatures)][:_MOST_SHOWN]
    answers = " or ".join(str(sorted(names)) for names in OUTPUTS.values())
    raise UserError(
        f"The model {which} has no text signature that we know.",
        received="; ".join(found) or "no signature at all",
        expected=f"{SIGNATURE}: text DT_STRING [-1], for pairs also text_pair -> {answers}",
        fix="serve a model that kerasft exported.",
    )


def read_column(values: Any, dtype: str, num_rows: int) -> np.ndarray:
    """Returns an output as an array of its own type, whichever way it came.

    JSON writes a float32 with few digits: read as one, it is the number that the model gave.

    Args:
        values: Nested lists from JSON, or an array.
        dtype: Such as `DT_FLOAT`.
        num_rows: Texts that were asked about.

    Raises:
        ValueError: It is no such array.
    """
    if dtype == _STRINGS and not isinstance(values, np.ndarray):
        values = _encode(values)
    column = np.asarray(values, dtype=_DTYPES.get(dtype, object))
    if column.ndim == 0 or len(column) != num_rows:
        raise ValueError(f"an output of shape {column.shape} for {num_rows} texts")
    return column


def _encode(values: Any) -> Any:
    if isinstance(values, list):
        return [_encode(value) for value in values]
    if not isinstance(values, str):
        raise ValueError(f"{type(values).__name__} where there should be a text")
    return values.encode()


def _is_texts(facts: Mapping[str, Any]) -> bool:
    return facts.get("dtype") == _STRINGS and _shape(facts) == "[-1]"


def _shape(facts: Mapping[str, Any]) -> str:
    shape = facts.get("tensor_shape") or {}
    if shape.get("unknown_rank"):
        return "of any shape"
    sizes = (str(dimension.get("size", 0)) for dimension in shape.get("dim", ()))
    return f"[{', '.join(sizes)}]"


def _describe(name: str, definition: Mapping[str, Any]) -> str:
    inputs = ", ".join(
        f"{key} {facts.get('dtype')} {_shape(facts)}"
        for key, facts in sorted(definition.get("inputs", {}).items())
    )
    return f"{name}: {inputs or 'nothing'} -> {sorted(definition.get('outputs', {}))}"
