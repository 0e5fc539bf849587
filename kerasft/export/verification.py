"""An export is published only when a process that knows nothing of kerasft answers alike."""

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

# Of the largest logit. Equal graphs differ by about 1e-6 on a CPU, GPUs multiply float32 in fewer
# bits (TF32); in bfloat16, which keeps 8 bits, the padding of a batch changes how sums are rounded.
TOLERANCES = {"float32": 1e-3, BFLOAT16: 2e-2}
NUM_TEXTS = 200
_LAST_LINES = 5
_REPLAY = Path(__file__).with_name("replay.py")


class VerificationError(RuntimeError):
    """An export that does not answer as the model did: a fault of kerasft, not of its user."""


@dataclasses.dataclass(frozen=True, eq=False)
class Probe:
    """Texts, and what the exported model must answer.

    Attributes:
        columns: UTF-8 texts, and for pairs their second texts.
        logits: `(num_texts, num_outputs)`.
        origin: Where the answers come from, for the record.
    """

    columns: tuple[Sequence[bytes], ...]
    logits: np.ndarray
    origin: str


def sample_probe(model, preprocessor, has_pairs: bool) -> Probe:
    """Asks the model in memory about the built-in sample, one text at a time.

    Args:
        model: A `FineTuner`.
        preprocessor: Turns texts into the model's inputs.
        has_pairs: Whether an example is a pair of texts.
    """
    texts = sample_texts()
    columns = (texts, texts[::-1]) if has_pairs else (texts,)
    rows = zip(*columns, strict=True)
    logits = [model(preprocessor(*([t] for t in row)), training=False) for row in rows]
    return Probe(columns, np.concatenate(logits), "the model in memory, on the built-in sample")


def verify(version: Path, probe: Probe, compute_dtype: str = "float32") -> dict[str, Any]:
    """Loads a version in a fresh process, replays its warm-up requests, compares its answers.

    Args:
        version: The version's folder.
        probe: What it must answer.
        compute_dtype: What its encoder computes in, on which depends how near it must come.

    Returns:
        For the record: `records` and `texts`, how many there were, `largest_difference` of the
        logits, `compared_with`.

    Raises:
        VerificationError: It cannot be loaded, or does not answer alike.
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
    """Runs `replay.py`; `-I` keeps the surroundings of this process out of it."""
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
