"""A served model's text signature, from the server's metadata."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from kerasft.errors import UserError
from kerasft.export.layout import SIGNATURE, input_names
from kerasft.serving.answers import OUTPUTS, kind_of

CLASSIFY = "classify"  # the signature whose response names every label
_STRINGS = "DT_STRING"
_DTYPES = {"DT_FLOAT": np.float32, "DT_DOUBLE": np.float64, "DT_BOOL": np.bool_}
_MOST_SHOWN = 5  # signatures


@dataclasses.dataclass(frozen=True)
class TextSignature:
    """A signature that takes texts and returns the outputs of a kerasft export."""

    kind: str  # `single`, `multi` or `number`
    has_pairs: bool
    outputs: Mapping[str, str]  # dtype, such as `DT_FLOAT`, by name
    names_labels: bool  # whether the model also has the signature `classify`


def read_signature(signatures: Mapping[str, Any], which: str) -> TextSignature:
    """Finds the text signature in the `SignatureDef`s, as JSON, of a model.

    Raises `UserError` if it takes no texts, or has other outputs than a kerasft export. `which` is
    the model, for the message.
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
    """Returns an output, nested lists from JSON or an array, as an array of its dtype.

    JSON has few digits of a float32: parsed as float32, it is the model's exact number. Raises
    `ValueError` unless it has `num_rows` rows of `dtype`, such as `DT_FLOAT`.
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
