"""Options of an export that a command line can check without TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kerasft.errors import UserError


@dataclasses.dataclass(frozen=True)
class Quantization:
    """How weights are quantized, and the accepted loss of quality.

    Args:
        method: `int8`, `float16`, or `bfloat16`, in which the encoder then also computes.
        max_loss: Accepted loss of the headline metric on validation.
    """

    method: str
    max_loss: float = 0.01


def read_warmup_texts(path: str) -> tuple[bytes, ...]:
    """Reads the texts of warm-up requests, one per line; raises `UserError` if there are none."""
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise UserError(
            f"The warm-up texts cannot be read: {error.strerror}.",
            received=path,
            expected="a file of UTF-8 text, a text a line",
        ) from error
    texts = tuple(line for line in lines if line.strip())
    if not texts:
        raise UserError(
            "The file of warm-up texts holds none.", received=path, expected="a text a line"
        )
    return texts
