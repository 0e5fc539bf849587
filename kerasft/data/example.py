"""One labelled text: what every source yields."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """One labelled text, or pair of texts, as UTF-8 bytes."""

    text: bytes
    text_pair: bytes | None
    label: int
