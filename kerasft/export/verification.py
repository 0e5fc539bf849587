"""Verifies an export before it is published: a process without kerasft must predict the same."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasft.export.layout import BFLOAT16, input_names
from kerasft.export.warmup import sample_texts
from kerasft.run_dir import to_json

# Relative to the largest logit. Equal graphs differ by about 1e-6 on a CPU; GPUs multiply float32
# in fewer bits (TF32); in bfloat16 (8 bits) a batch's padding changes how sums are rounded.
TOLERANCES = {"float32": 1e-3, BFLOAT16: 2e-2}
NUM_TEXTS = 200
_LAST_LINES = 5
_REPLAY = Path(__file__).with_name("replay.py")


class VerificationError(RuntimeError):
    """An export does not reproduce the model's predictions: a bug of kerasft, not a user error."""


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """Texts and the logits that the exported model must return."""

    columns: tuple[Sequence[bytes], ...]  # UTF-8 texts, and for pairs their second texts
    logits: np.ndarray  # `(num_texts, num_outputs)`
    origin: str  # of the logits, for the record


def sample_probe(model, preprocessor, has_pairs: bool) -> Probe:
    """Predicts the built-in sample with the model in memory, one text at a time."""
    texts = sample_texts()
    columns = (texts, texts[::-1]) if has_pairs else (texts,)
    rows = zip(*columns, strict=True)
    logits = [model(preprocessor(*([t] for t in row)), training=False) for row in rows]
    return Probe(columns, np.concatenate(logits), "the model in memory, on the built-in sample")


def verify(version: Path, probe: Probe, compute_dtype: str = "float32") -> dict[str, Any]:
    """Loads a version in a fresh process, replays its warm-up requests, compares its logits.

    The tolerance depends on the encoder's `compute_dtype`.

    Returns:
        For the record: the counts `records` and `texts`, `largest_difference` of the logits,
        `compared_with`.

    Raises:
        VerificationError: If it cannot be loaded, or predicts differently.
    """
    names = input_names(has_pairs=len(probe.columns) == 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.json"
        columns = [[text.hex() for text in column] for column in probe.columns]
        questions = {"columns": dict(zip(names, columns, strict=True)), "logits": probe.logits}
        path.write_text(to_json(questions), encoding="utf-8")
        found = _run(version, path)
    if "fault" in found:
        raise VerificationError(f"The exported model does not work: {found['fault']}")
    difference = found["largest_difference"]
    largest = max(1.0, float(np.abs(probe.logits).max(initial=0.0)))
    if not difference <= TOLERANCES[compute_dtype] * largest:
        raise VerificationError(
            f"The exported model answers otherwise than {probe.origin}: its logits differ by up "
            f"to {difference:.2g}."
        )
    return found | {"compared_with": probe.origin}


def _run(version: Path, probe: Path) -> dict[str, Any]:
    """Runs `replay.py`; `-I` isolates it from this process's environment."""
    result = subprocess.run(
        [sys.executable, "-I", str(_REPLAY), str(version.absolute()), str(probe)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return json.loads(result.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        last_words = result.stderr.strip().splitlines()[-_LAST_LINES:]
        return {"fault": f"exit code {result.returncode}: {' '.join(last_words)}"}
