"""Options of an export that a command line can check without TensorFlow."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from kerasft.errors import UserError
from kerasft.text_files import read_lines


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
    """Reads the texts of warm-up requests, one per line; blank lines are none.

    Raises:
        UserError: If there are none, or the file is no text, as `kerasft.text_files` says.
    """
    lines = (line.rstrip("\r\n") for line in read_lines(Path(path)))
    texts = tuple(line.encode() for line in lines if line.strip())
    if not texts:
        raise UserError(
            "The file of warm-up texts holds none.", received=path, expected="a text a line"
        )
    return texts
