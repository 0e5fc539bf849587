"""`[performance]`: trade-offs of memory and time."""

from __future__ import annotations

import dataclasses

from kerasft.recipe.rules import at_least, setting


@dataclasses.dataclass(frozen=True)
class PerformanceSettings:
    """`[performance]`: trade-offs of memory and time that do not change results."""

    gradient_checkpointing: bool = setting(
        False,
        "Compute each layer of the encoder again for its gradient: far less memory, more time.",
    )
    attention_chunk: int | None = setting(
        None,
        "Tokens of a text whose attention is computed at once, 0 for all; memory then grows with "
        "the length and not with its square. Unset: 128 where texts may have 1,024 tokens, else 0.",
        at_least(0),
    )
    pad_length_to: int | None = setting(
        None,
        "A training batch is as wide as its longest text, rounded up to a multiple of this. Unset: "
        "1 on CPUs, 8 on GPUs and under XLA.",
        at_least(1),
    )
    lazy_embeddings: bool = setting(
        True,
        "Update the rows of the token table when a batch reads them, and not all in each step; on "
        "one CPU device, with AdamW, where nothing needs the whole table.",
    )
    kernels: bool | None = setting(
        None,
        "Compute GELU, normalization, softmax, dropout and AdamW with kernels that are compiled "
        "for this CPU, once. Unset: on Linux with a C++ compiler, and neither GPU nor XLA.",
    )
