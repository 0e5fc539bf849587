"""The files that TensorBoard's embedding projector reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tensorboard.plugins import projector

from kerasft.run_dir import write_atomically

TENSORS, METADATA = "projector_vectors.tsv", "projector_texts.tsv"
_LONGEST_TEXT = 300  # signs; the projector shows a text in one line


def write_projector(
    folder: Path, vectors: np.ndarray, columns: Mapping[str, Sequence[str]]
) -> None:
    """Writes points and what is said of them into a run's TensorBoard folder.

    Args:
        folder: One with event files, or the projector will not look there.
        vectors: float `(num_points, width)`.
        columns: By name what is said of each point; of two or more columns.
    """
    rows = [columns.keys(), *zip(*columns.values(), strict=True)]
    lines = ("\t".join(map(_one_line, row)) for row in rows)
    write_atomically(folder / METADATA, "".join(f"{line}\n" for line in lines))
    points = ("\t".join(f"{value:.6g}" for value in vector) for vector in vectors)
    write_atomically(folder / TENSORS, "".join(f"{line}\n" for line in points))
    config = projector.ProjectorConfig()
    config.embeddings.add(tensor_name="texts", tensor_path=TENSORS, metadata_path=METADATA)
    projector.visualize_embeddings(str(folder), config)


def _one_line(text: str) -> str:
    # Whatever the projector would take for the end of a line or a cell.
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TEXT else f"{line[: _LONGEST_TEXT - 1]}…"
